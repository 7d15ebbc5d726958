// Loads, stores, gathers and scatters: how an index, its strides along r and l, and its limits become instructions.
#include <algorithm>
#include <bit>

#include "backend/cpu/emitter.h"
#include "base/hash.h"
#include "tenon/error.h"

namespace tn::cpu {

using loops::ScalarOp;
using Mask = llvm::SmallVector<int, 32>;

static constexpr Dim kNone = Node::kNone;

Value* Emitter::from_memory(Value* v, DType d) {
  return d == DType::boolean ? b_.CreateICmpNE(v, llvm::Constant::getNullValue(v->getType())) : v;
}

Value* Emitter::to_memory(Value* v, DType d) {
  if (d != DType::boolean) return v;
  auto* type = llvm::dyn_cast<llvm::FixedVectorType>(v->getType());
  llvm::Type* byte = b_.getInt8Ty();
  return b_.CreateZExt(v, type ? llvm::FixedVectorType::get(byte, type->getNumElements()) : byte);
}

Value* Emitter::both(Value* a, Value* b) { return !a ? b : !b ? a : b_.CreateAnd(a, b); }

Value* Emitter::slot() {
  if (!slot_) {
    auto& entry = function_->getEntryBlock();
    llvm::IRBuilder<>::InsertPointGuard guard(b_);
    b_.SetInsertPoint(&entry, entry.begin());
    slot_ = b_.CreateAlloca(b_.getInt64Ty());
    b_.CreateStore(b_.getInt64(0), slot_);
  }
  return slot_;
}

Value* Emitter::buffer_pointer(int buffer) {
  Value*& known = buffer_pointers_[static_cast<size_t>(buffer)];
  if (known) return known;
  const loops::Buffer& b = kernel_.buffers[static_cast<size_t>(buffer)];
  u64 argument = 0;
  for (int i = 0; i < buffer; ++i) argument += kernel_.buffers[static_cast<size_t>(i)].is_argument();
  Dim offset = b.is_argument() ? Dim(0) : b.offset;
  // The sizes it depends on live in the function's own scope.
  known = scopes_->once({}, mix(u64{2} << 32, static_cast<u64>(buffer)), [&]() -> Value* {
    auto* type = llvm::PointerType::getUnqual(context_);
    if (b.is_argument()) return b_.CreateLoad(type, b_.CreateConstGEP1_64(type, buffers_, argument));
    return b_.CreateGEP(b_.getInt8Ty(), scratch_, scopes_->dim(offset));
  });
  return known;
}

Emitter::Access Emitter::access(const Node& n, Dim offset) {
  const loops::Buffer& b = kernel_.buffers[static_cast<size_t>(n.buffer)];
  auto row_stride = coefficient(offset, loops::row()), lane_stride = coefficient(offset, loops::lane());
  if (!row_stride || !lane_stride)
    fail("compile_kernel", "expected an index affine in r and l, got " + to_string(offset) + "; use gather");
  std::pair<Dim, Dim> origin[] = {{loops::row(), Dim(0)}, {loops::lane(), Dim(0)}};
  return {&n,
          &b,
          Cut(n.tile, most_),
          substitute(offset, origin),
          *row_stride,
          *lane_stride,
          buffer_pointer(n.buffer),
          memory_type(context_, b.dtype),
          bytes(b.dtype)};
}

Value* Emitter::element_pointer(const Access& a, int row, int lane) {
  Dim offset = a.base + a.row_stride * Dim(row) + a.lane_stride * Dim(lane);
  return scopes_->pointer(a.pointer, a.type, a.size, offset);
}

Value* Emitter::row_inside(const Access& a, int row) {
  return a.node->row_limit == kNone ? nullptr : scopes_->below(a.node->row_limit, row);
}

Value* Emitter::lane_inside(const Access& a, int lane) {
  return a.node->lane_limit == kNone ? nullptr : scopes_->below(a.node->lane_limit, lane);
}

Value* Emitter::lane_mask(const Access& a, int piece) {
  if (a.node->lane_limit == kNone) return nullptr;
  return scopes_->lanes_below(a.node->lane_limit, piece * a.cut.width, a.cut.length(piece));
}

Value* Emitter::fill(const Access& a, int length) {
  DType d = a.buffer->dtype;
  return splat(element_constant(context_, d, a.node->number, static_cast<i64>(a.node->number)), length);
}

// ---------------------------------------------------------------- loads

void Emitter::emit_load(Val v) {
  const Node& n = at(v);
  Access a = access(n, element_offset(kernel_.buffers[static_cast<size_t>(n.buffer)], kernel_.index(n)));
  for (int r = 0; r < a.cut.rows; ++r)
    for (int p = 0; p < a.cut.pieces(); ++p) pieces(v).push_back(load_piece(a, r, p));
}

/// A lone element; `ok` false gives the fill.
Value* Emitter::load_element(const Access& a, Value* pointer, Value* ok) {
  if (ok) pointer = b_.CreateSelect(ok, pointer, slot());
  Value* x = b_.CreateAlignedLoad(a.type, pointer, llvm::Align(static_cast<u64>(a.size)));
  x = from_memory(x, a.buffer->dtype);
  return ok ? b_.CreateSelect(ok, x, fill(a, 1)) : x;
}

/// Whether a run of this length is no vector of the machine's and masks are cheap for it.
static bool odd(int length, i64 size) { return (length & (length - 1)) != 0 && length > 2 && size >= 4; }

/// The mask of the first `n` of `whole` lanes.
Value* Emitter::first_lanes(int n, int whole) {
  llvm::SmallVector<llvm::Constant*, 16> lanes;
  for (int i = 0; i < whole; ++i) lanes.push_back(b_.getInt1(i < n));
  return llvm::ConstantVector::get(lanes);
}

Value* Emitter::resized(Value* v, int n) {
  auto have = static_cast<int>(llvm::cast<llvm::FixedVectorType>(v->getType())->getNumElements());
  Mask mask;
  for (int i = 0; i < n; ++i) mask.push_back(i < have ? i : -1);
  return b_.CreateShuffleVector(v, mask);
}

/// `length` neighbours in memory.
Value* Emitter::load_run(const Access& a, Value* pointer, int length, Value* mask) {
  auto* type = llvm::FixedVectorType::get(a.type, static_cast<unsigned>(length));
  llvm::Align align(static_cast<u64>(a.size));
  DType d = a.buffer->dtype;
  if (!mask && odd(length, a.size)) {
    // As a masked load of the next power of two: one access instead of one for each bit of the length.
    int whole = static_cast<int>(llvm::NextPowerOf2(static_cast<u64>(length)));
    auto* wide = llvm::FixedVectorType::get(a.type, static_cast<unsigned>(whole));
    Value* v = b_.CreateMaskedLoad(wide, pointer, align, first_lanes(length, whole), llvm::PoisonValue::get(wide));
    return from_memory(resized(v, length), d);
  }
  if (!mask) return from_memory(b_.CreateAlignedLoad(type, pointer, align), d);
  Value* other = to_memory(fill(a, length), d);
  return from_memory(b_.CreateMaskedLoad(type, pointer, align, mask, other), d);
}

/// The lanes of a piece that a load has to give, as far as that is known here.
static int lanes_wanted(const Node& n, int first, int length) {
  if (!n.any || n.lane_limit == kNone || !n.lane_limit.is_constant()) return length;
  return static_cast<int>(std::clamp<i64>(n.lane_limit.value() - first, 0, length));
}

/// Stride 2: two runs that end with the last element wanted, and the even lanes of both.
Value* Emitter::load_every_second(const Access& a, int row, int piece) {
  int length = a.cut.length(piece), first = piece * a.cut.width, n = lanes_wanted(*a.node, first, length);
  int whole = static_cast<int>(std::bit_ceil(static_cast<u32>(n)));
  Value* some = n == whole ? nullptr : first_lanes(n, whole);
  Value* low = load_run(a, element_pointer(a, row, first), whole, some);
  Dim offset = a.base + a.row_stride * Dim(row) + Dim(2 * first + n - 1);
  Value* high = load_run(a, scopes_->pointer(a.pointer, a.type, a.size, offset), whole, some);
  Mask mask;
  for (int l = 0; l < length; ++l) mask.push_back(l >= n ? -1 : l < n / 2 ? 2 * l : whole + 2 * l + 1 - n);
  return b_.CreateShuffleVector(low, high, mask);
}

/// Lane by lane, at any stride.
Value* Emitter::load_lanes(const Access& a, int row, int piece, Value* ok) {
  int n = a.cut.length(piece), first = piece * a.cut.width;
  Value* made = llvm::PoisonValue::get(piece_type(a.buffer->dtype, n));
  for (int l = 0; l < n; ++l) {
    Value* inside = both(ok, lane_inside(a, first + l));
    Value* x = load_element(a, element_pointer(a, row, first + l), inside);
    made = b_.CreateInsertElement(made, x, static_cast<u64>(l));
  }
  return made;
}

Value* Emitter::load_piece(const Access& a, int row, int piece) {
  int n = a.cut.length(piece), first = piece * a.cut.width;
  Value* ok = row_inside(a, row);
  // Rows past the limit whose value does not matter read row 0 again: an offset chosen once, not a branch each time.
  if (ok && a.node->any && a.node->lane_limit == kNone) {
    Dim here = a.row_stride * Dim(row);
    Value* offset = scopes_->once({a.node->row_limit, here}, (u64{3} << 32) + static_cast<u64>(row),
                                  [&]() -> Value* { return b_.CreateSelect(ok, scopes_->dim(here), b_.getInt64(0)); });
    Value* start = scopes_->pointer(a.pointer, a.type, a.size, a.base + a.lane_stride * Dim(first));
    Value* pointer = b_.CreateGEP(a.type, start, offset);
    if (n == 1) return load_element(a, pointer, nullptr);
    if (a.lane_stride == Dim(1)) return load_run(a, pointer, n, nullptr);
  }
  if (n == 1) return load_element(a, element_pointer(a, row, first), both(ok, lane_inside(a, first)));
  Value* mask = lane_mask(a, piece);
  if (a.lane_stride == Dim(1)) {
    if (ok) mask = both(mask, splat(ok, n));
    return load_run(a, element_pointer(a, row, first), n, mask);
  }
  if (a.lane_stride == Dim(0)) {
    Value* x = splat(load_element(a, element_pointer(a, row, first), both(ok, lane_inside(a, first))), n);
    return mask ? b_.CreateSelect(mask, x, fill(a, n)) : x;
  }
  int wanted = lanes_wanted(*a.node, first, n);
  bool whole = wanted > 2 && (std::has_single_bit(static_cast<u32>(wanted)) || a.size >= 4);
  if (!ok && (!mask || wanted < n) && whole && a.lane_stride == Dim(2)) return load_every_second(a, row, piece);
  if (!ok && !mask && a.lane_stride == Dim(-1)) {
    Mask reversed;
    for (int l = 0; l < n; ++l) reversed.push_back(n - 1 - l);
    return b_.CreateShuffleVector(load_run(a, element_pointer(a, row, first + n - 1), n, nullptr), reversed);
  }
  return load_lanes(a, row, piece, ok);
}

// ---------------------------------------------------------------- stores

/// A run of any length as vectors of powers of two, the greatest first: AVX2's masked stores take tens of cycles on
/// some processors.
void Emitter::plan_parts(const Access& a, const Planned& whole, Value* pointer, int length,
                         std::vector<Planned>& plan) {
  for (int from = 0; from < length;) {
    int n = static_cast<int>(std::bit_floor(static_cast<u32>(length - from)));
    Mask lanes;
    for (int i = 0; i < n; ++i) lanes.push_back(from + i);
    Value* part = n == 1 ? b_.CreateExtractElement(whole.value, static_cast<u64>(from))
                         : b_.CreateShuffleVector(whole.value, lanes);
    Value* place = from ? b_.CreateConstGEP1_64(a.type, pointer, static_cast<u64>(from)) : pointer;
    plan.push_back({place, part, nullptr, a.size, false});
    from += n;
  }
}

/// What row `row` stores, with everything but the stores themselves already made.
void Emitter::plan_row(const Access& a, Val v, int row, std::vector<Planned>& plan) {
  DType d = a.buffer->dtype;
  for (int p = 0; p < a.cut.pieces(); ++p) {
    int n = a.cut.length(p), first = p * a.cut.width;
    Value* value = operand(v, row, p, n);
    if (n > 1 && a.lane_stride == Dim(1)) {
      Planned one{element_pointer(a, row, first), to_memory(value, d), lane_mask(a, p), a.size, false};
      bool known = a.node->lane_limit == kNone || a.node->lane_limit.is_constant();
      int count = known && one.mask ? static_cast<int>(std::clamp<i64>(a.node->lane_limit.value() - first, 0, n)) : n;
      if (vector_bits_ < 512 && known && (count < n || odd(n, a.size))) {
        plan_parts(a, one, element_pointer(a, row, first), count, plan);
        continue;
      }
      if (!one.mask && odd(n, a.size)) {
        int power = static_cast<int>(llvm::NextPowerOf2(static_cast<u64>(n)));
        one.value = resized(one.value, power);
        one.mask = first_lanes(n, power);
      }
      i64 whole = n * a.size;
      Dim offset = a.base + a.row_stride * Dim(row) + Dim(first);
      if (a.node->stream && !one.mask && whole % 16 == 0 && provably_divisible(offset * Dim(a.size), whole)) {
        one.stream = true;
        one.align = std::min<i64>(whole & -whole, 64);
      }
      plan.push_back(one);
      continue;
    }
    for (int l = 0; l < n; ++l) {
      Value* pointer = element_pointer(a, row, first + l);
      if (Value* ok = lane_inside(a, first + l)) pointer = b_.CreateSelect(ok, pointer, slot());
      Value* x = n == 1 ? value : b_.CreateExtractElement(value, static_cast<u64>(l));
      plan.push_back({pointer, to_memory(x, d), nullptr, a.size, false});
    }
  }
}

void Emitter::commit(const Planned& p) {
  llvm::Align align(static_cast<u64>(p.align));
  if (p.mask) {
    b_.CreateMaskedStore(p.value, p.pointer, align, p.mask);
    return;
  }
  auto* store = b_.CreateAlignedStore(p.value, p.pointer, align);
  if (!p.stream) return;
  streams_ = true;
  auto* one = llvm::ConstantAsMetadata::get(b_.getInt32(1));
  store->setMetadata(llvm::LLVMContext::MD_nontemporal, llvm::MDNode::get(context_, one));
}

/// Rows past the limit are branched over: rows come in order, so the first one outside ends the store.
void Emitter::emit_store(Val v) {
  const Node& n = at(v);
  Val value = kernel_.operands(n)[0];
  Access a = access(n, element_offset(kernel_.buffers[static_cast<size_t>(n.buffer)], kernel_.index(n)));
  std::vector<std::vector<Planned>> rows(static_cast<size_t>(a.cut.rows));
  std::vector<Value*> inside;
  for (int r = 0; r < a.cut.rows; ++r) {
    plan_row(a, value, r, rows[static_cast<size_t>(r)]);
    inside.push_back(row_inside(a, r));
  }
  llvm::BasicBlock* done = nullptr;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (inside[r]) {
      if (!done) done = llvm::BasicBlock::Create(context_, "stored", function_);
      auto* next = llvm::BasicBlock::Create(context_, "row", function_);
      b_.CreateCondBr(inside[r], next, done);
      b_.SetInsertPoint(next);
    }
    for (const Planned& p : rows[r]) commit(p);
  }
  if (!done) return;
  b_.CreateBr(done);
  b_.SetInsertPoint(done);
}

void Emitter::emit_prefetch(Val v) {
  const Node& n = at(v);
  Access a = access(n, element_offset(kernel_.buffers[static_cast<size_t>(n.buffer)], kernel_.index(n)));
  auto how = static_cast<loops::Fetch>(n.at);
  Value *write = b_.getInt32(how == loops::Fetch::write), *locality = b_.getInt32(how == loops::Fetch::far ? 2 : 3);
  b_.CreateIntrinsic(llvm::Intrinsic::prefetch, {llvm::PointerType::getUnqual(context_)},
                     {element_pointer(a, 0, 0), write, locality, b_.getInt32(1)});
}

// ---------------------------------------------------------------- gather and scatter

/// The offset of an index without the gathered axis.
static Dim offset_without(const loops::Buffer& b, std::span<const Dim> index, int axis) {
  Dim offset = 0;
  for (size_t i = 0; i < index.size(); ++i)
    if (static_cast<int>(i) != axis) offset = offset + index[i] * b.strides[i];
  return offset;
}

Value* Emitter::axis_offsets(const Access& a, Value* index, DType d, bool clamp) {
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(index->getType());
  int n = vector ? static_cast<int>(vector->getNumElements()) : 1;
  auto* wide = piece_type(DType::i64, n);
  Value* x = is_signed(d) ? b_.CreateSExtOrTrunc(index, wide) : b_.CreateZExtOrTrunc(index, wide);
  auto axis = static_cast<size_t>(a.node->at);
  if (clamp) {
    Value* last = splat(scopes_->dim(a.buffer->shape[axis] - Dim(1)), n);
    x = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, last);
    x = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x, llvm::Constant::getNullValue(wide));
  }
  Dim stride = a.buffer->strides[axis];
  return stride == Dim(1) ? x : b_.CreateMul(x, splat(scopes_->dim(stride), n));
}

void Emitter::emit_gather(Val v) {
  const Node& n = at(v);
  Val from = kernel_.operands(n)[0];
  DType index_type = at(from).tile.dtype;
  Access a = access(n, offset_without(kernel_.buffers[static_cast<size_t>(n.buffer)], kernel_.index(n), n.at));
  bool instruction = vector_bits_ == 512 && a.size >= 4 && a.lane_stride.is_constant();
  Dim extent = a.buffer->shape[static_cast<size_t>(n.at)];
  bool any = extent.is_constant() && extent.value() > 0;  // of an empty axis nothing can be read
  for (int r = 0; r < a.cut.rows; ++r)
    for (int p = 0; p < a.cut.pieces(); ++p) {
      int length = a.cut.length(p), first = p * a.cut.width;
      Value *ok = row_inside(a, r), *offsets = axis_offsets(a, operand(from, r, p, length), index_type, true);
      if (!any) ok = both(ok, scopes_->below(extent, 0));
      if (length == 1) {
        Value* pointer = b_.CreateGEP(a.type, element_pointer(a, r, first), offsets);
        pieces(v).push_back(load_element(a, pointer, both(ok, lane_inside(a, first))));
        continue;
      }
      if (instruction) {
        llvm::SmallVector<llvm::Constant*, 16> lanes;
        for (int l = 0; l < length; ++l) lanes.push_back(b_.getInt64(static_cast<u64>(l * a.lane_stride.value())));
        if (a.lane_stride != Dim(0)) offsets = b_.CreateAdd(offsets, llvm::ConstantVector::get(lanes));
        Value* pointers = b_.CreateGEP(a.type, element_pointer(a, r, first), offsets);
        Value* mask = both(lane_mask(a, p), ok ? splat(ok, length) : nullptr);
        auto* type = llvm::FixedVectorType::get(a.type, static_cast<unsigned>(length));
        if (!mask) mask = splat(b_.getTrue(), length);
        pieces(v).push_back(
            b_.CreateMaskedGather(type, pointers, llvm::Align(static_cast<u64>(a.size)), mask, fill(a, length)));
        continue;
      }
      Value* made = llvm::PoisonValue::get(piece_type(a.buffer->dtype, length));
      for (int l = 0; l < length; ++l) {
        Value* offset = b_.CreateExtractElement(offsets, static_cast<u64>(l));
        Value* pointer = b_.CreateGEP(a.type, element_pointer(a, r, first + l), offset);
        Value* x = load_element(a, pointer, both(ok, lane_inside(a, first + l)));
        made = b_.CreateInsertElement(made, x, static_cast<u64>(l));
      }
      pieces(v).push_back(made);
    }
}

/// Element by element in the order of rows, then lanes; an index out of range is dropped.
void Emitter::emit_scatter(Val v) {
  const Node& n = at(v);
  Val from = kernel_.operands(n)[0], what = kernel_.operands(n)[1];
  DType index_type = at(from).tile.dtype, d = n.tile.dtype;
  Access a = access(n, offset_without(kernel_.buffers[static_cast<size_t>(n.buffer)], kernel_.index(n), n.at));
  Value* extent = scopes_->dim(a.buffer->shape[static_cast<size_t>(n.at)]);
  for (int r = 0; r < a.cut.rows; ++r)
    for (int lane = 0; lane < a.cut.lanes; ++lane) {
      int p = lane / a.cut.width, l = lane % a.cut.width, length = a.cut.length(p);
      Value *index = operand(from, r, p, length), *x = operand(what, r, p, length);
      if (length > 1) {
        index = b_.CreateExtractElement(index, static_cast<u64>(l));
        x = b_.CreateExtractElement(x, static_cast<u64>(l));
      }
      auto* word = b_.getInt64Ty();
      Value* at_index = is_signed(index_type) ? b_.CreateSExtOrTrunc(index, word) : b_.CreateZExtOrTrunc(index, word);
      Value* ok = b_.CreateICmpULT(at_index, extent);
      ok = both(ok, both(row_inside(a, r), lane_inside(a, lane)));
      Value* pointer = b_.CreateGEP(a.type, element_pointer(a, r, lane), axis_offsets(a, index, index_type, false));
      pointer = b_.CreateSelect(ok, pointer, slot());
      llvm::Align align(static_cast<u64>(a.size));
      if (n.op == ScalarOp::add) {
        Value* sum[] = {from_memory(b_.CreateAlignedLoad(a.type, pointer, align), d), x};
        x = emit_op(b_, ScalarOp::add, d, d, sum);
      }
      b_.CreateAlignedStore(to_memory(x, d), pointer, align);
    }
}

}  // namespace tn::cpu
