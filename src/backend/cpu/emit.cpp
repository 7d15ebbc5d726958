// Phases, loops and values; see emitter.h for the idea.
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/IntrinsicsX86.h>

#include "backend/cpu/emitter.h"
#include "tenon/error.h"

namespace tn::cpu {

using loops::Kind;
using loops::LoopKind;

Emitter::Emitter(const loops::Kernel& kernel, int vector_bits, llvm::Module& module)
    : kernel_(kernel),
      most_(lanes_of(vector_bits)),
      vector_bits_(vector_bits),
      module_(module),
      context_(module.getContext()),
      b_(context_) {}

void Emitter::run() {
  int number = 0;
  for (Val v : kernel_.phases()) phase(number++, v);
  if (!number) fail("compile_kernel", "expected a kernel with a parallel loop, got '" + kernel_.name + "' without");
}

/// `void phase_N(void* const* buffers, const i64* sizes, i64 low, i64 high, void* scratch, i64* error)`.
void Emitter::phase(int number, Val begin) {
  auto* pointer = llvm::PointerType::getUnqual(context_);
  auto* word = b_.getInt64Ty();
  auto* type = llvm::FunctionType::get(b_.getVoidTy(), {pointer, pointer, word, word, pointer, pointer}, false);
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, "phase_" + std::to_string(number), module_);
  function_->addFnAttr(llvm::Attribute::NoUnwind);
  std::string width = std::to_string(vector_bits_);
  function_->addFnAttr("min-legal-vector-width", width);
  function_->addFnAttr("prefer-vector-width", width);
  function_->addFnAttr("target-features", "+prfchw");  // where a CPU lacks it, it does nothing
  function_->addFnAttr("tune-cpu", vector_bits_ == 512 ? "znver4" : "haswell");
  buffers_ = function_->getArg(0), sizes_ = function_->getArg(1);
  low_ = function_->getArg(2), high_ = function_->getArg(3);
  scratch_ = function_->getArg(4), error_ = function_->getArg(5);
  b_.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", function_));
  scopes_.emplace(b_);
  values_.assign(kernel_.nodes.size(), {});
  buffer_pointers_.assign(kernel_.buffers.size(), nullptr);
  slot_ = nullptr, streams_ = false;
  for (size_t i = 0; i < kernel_.sizes.size(); ++i)
    scopes_->define_size(kernel_.sizes[i], [this, i]() -> Value* {
      return b_.CreateLoad(b_.getInt64Ty(), b_.CreateConstGEP1_64(b_.getInt64Ty(), sizes_, i));
    });
  for (Val v = 0; v < begin; ++v) {
    const Node& n = at(v);
    if (n.kind == Kind::loop) {
      if (n.loop != LoopKind::parallel)
        fail("compile_kernel", "expected only parallel loops outermost, got a serial one");
      v = n.at;
    } else if (n.kind == Kind::store || n.kind == Kind::scatter || n.kind == Kind::check) {
      fail("compile_kernel", "expected effects inside parallel loops only, got one outside");
    } else {
      node(v);
    }
  }
  for (Val v = begin; v <= at(begin).at; ++v) node(v);
  if (streams_) b_.CreateIntrinsic(llvm::Intrinsic::x86_sse_sfence, {}, {});
  b_.CreateRetVoid();
}

// ---------------------------------------------------------------- values

llvm::Type* Emitter::piece_type(DType d, int length) {
  llvm::Type* type = element_type(context_, d);
  return length == 1 ? type : llvm::FixedVectorType::get(type, static_cast<unsigned>(length));
}

Value* Emitter::splat(Value* v, int length) {
  if (length == 1 || v->getType()->isVectorTy()) return v;
  return b_.CreateVectorSplat(static_cast<unsigned>(length), v);
}

Value* Emitter::operand(Val v, int row, int piece, int length) {
  Cut c = cut(v);
  Value* p = pieces(v)[c.at(c.rows == 1 ? 0 : row, c.lanes == 1 ? 0 : piece)];
  return splat(p, length);
}

void Emitter::node(Val v) {
  const Node& n = at(v);
  auto args = kernel_.operands(n);
  switch (n.kind) {
    case Kind::constant: {
      Cut c = cut(v);
      llvm::Constant* element = element_constant(context_, n.tile.dtype, n.number, n.whole);
      for (int r = 0; r < c.rows; ++r)
        for (int p = 0; p < c.pieces(); ++p) pieces(v).push_back(splat(element, c.length(p)));
      break;
    }
    case Kind::dim: emit_dim(v); break;
    case Kind::map: emit_map(v); break;
    case Kind::reduce: pieces(v) = emit_reduce(b_, n.op, n.axis, at(args[0]).tile, most_, pieces(args[0])); break;
    case Kind::scan: pieces(v) = emit_scan(b_, n.op, n.tile, most_, pieces(args[0])); break;
    case Kind::slice: pieces(v) = emit_slice(b_, n.axis, n.at, at(args[0]).tile, most_, pieces(args[0])); break;
    case Kind::transpose: pieces(v) = emit_transpose(b_, at(args[0]).tile, most_, pieces(args[0])); break;
    case Kind::load: emit_load(v); break;
    case Kind::store: emit_store(v); break;
    case Kind::gather: emit_gather(v); break;
    case Kind::scatter: emit_scatter(v); break;
    case Kind::prefetch: emit_prefetch(v); break;
    case Kind::check: emit_check(v); break;
    case Kind::loop: begin_loop(v); break;
    case Kind::yield: end_loop(v); break;
    case Kind::index: emit_index(v); break;
    case Kind::alloc:
    case Kind::carry:
    case Kind::result: break;
    default: fail("compile_kernel", "expected a node a CPU has, got another");
  }
}

void Emitter::emit_map(Val v) {
  const Node& n = at(v);
  auto args = kernel_.operands(n);
  Cut c = cut(v);
  DType from = at(args[args.size() > 2 && n.op == loops::ScalarOp::select ? 1 : 0]).tile.dtype;
  for (int r = 0; r < c.rows; ++r)
    for (int p = 0; p < c.pieces(); ++p) {
      Value* given[3] = {};
      for (size_t i = 0; i < args.size(); ++i) given[i] = operand(args[i], r, p, c.length(p));
      pieces(v).push_back(emit_op(b_, n.op, from, n.tile.dtype, {given, args.size()}));
    }
}

/// A Dim as numbers: start + l * step.
void Emitter::emit_dim(Val v) {
  const Node& n = at(v);
  Cut c = cut(v);
  DType d = n.tile.dtype;
  auto convert = [&](Value* x) {
    Value* one[] = {x};
    return emit_op(b_, loops::ScalarOp::cast, DType::i64, d, one);
  };
  Dim what = kernel_.index(n)[0];
  auto step = coefficient(what, loops::lane());
  if (!step) fail("compile_kernel", "expected a Dim affine in l, got " + to_string(what));
  for (int r = 0; r < c.rows; ++r)
    for (int p = 0; p < c.pieces(); ++p) {
      int length = c.length(p);
      std::pair<Dim, Dim> place[] = {{loops::row(), Dim(r)}, {loops::lane(), Dim(p * c.width)}};
      Value* start = scopes_->dim(substitute(what, place));
      if (length == 1 || *step == Dim(0)) {
        pieces(v).push_back(splat(convert(start), length));
        continue;
      }
      llvm::SmallVector<llvm::Constant*, 16> lanes;
      for (int l = 0; l < length; ++l) lanes.push_back(b_.getInt64(static_cast<u64>(l)));
      std::pair<Dim, Dim> row_is[] = {{loops::row(), Dim(r)}};
      Value* offsets = llvm::ConstantVector::get(lanes);
      offsets = b_.CreateMul(offsets, splat(scopes_->dim(substitute(*step, row_is)), length));
      start = splat(start, length);
      if (d == DType::i32 || d == DType::u32) {  // wraps alike, in half the registers
        auto* narrow = piece_type(d, length);
        pieces(v).push_back(b_.CreateAdd(b_.CreateTrunc(start, narrow), b_.CreateTrunc(offsets, narrow)));
      } else {
        pieces(v).push_back(convert(b_.CreateAdd(start, offsets)));
      }
    }
}

void Emitter::emit_index(Val v) {
  const Node& n = at(v);
  Val from = kernel_.operands(n)[0];
  Value* x = operand(from, 0, 0, 1);
  auto* word = b_.getInt64Ty();
  x = is_signed(at(from).tile.dtype) ? b_.CreateSExtOrTrunc(x, word) : b_.CreateZExtOrTrunc(x, word);
  x = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, scopes_->dim(n.extent - Dim(1)));
  x = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x, b_.getInt64(0));
  // A copy that cannot fold away: the anchor of the scope in which the symbol lives.
  auto* anchor = llvm::dyn_cast<llvm::Instruction>(x);
  if (!anchor) anchor = llvm::cast<llvm::Instruction>(b_.CreateFreeze(x));
  scopes_->enter(anchor);
  scopes_->define(n.variable, x, n.extent - Dim(1));
}

void Emitter::emit_check(Val v) {
  const Node& n = at(v);
  Val from = kernel_.operands(n)[0];
  Value* all = nullptr;
  for (Value* p : pieces(from)) {
    Value* one = p->getType()->isVectorTy() ? b_.CreateAndReduce(p) : p;
    all = all ? b_.CreateAnd(all, one) : one;
  }
  auto* failed = llvm::BasicBlock::Create(context_, "failed", function_);
  auto* passed = llvm::BasicBlock::Create(context_, "passed", function_);
  b_.CreateCondBr(all, passed, failed);
  b_.SetInsertPoint(failed);
  // The first check that fails is the one reported.
  Value* before = b_.CreateLoad(b_.getInt64Ty(), error_);
  Value* none = b_.CreateICmpEQ(before, b_.getInt64(0));
  b_.CreateStore(b_.CreateSelect(none, b_.getInt64(static_cast<u64>(n.at)), before), error_);
  b_.CreateBr(passed);
  b_.SetInsertPoint(passed);
}

// ---------------------------------------------------------------- loops

/// How often the body of a loop stands in one block of code, as often as leaves no step over. Sums in many registers
/// are worth it: what counts the steps takes the units of the products on some processors. Not where addresses are
/// computed for each step: the code generator would do so for all copies at once and spill the sums.
int Emitter::copies_of_body(Val v) const {
  const Node& n = at(v);
  if (n.loop != LoopKind::serial || !n.extent.is_constant()) return 1;
  size_t carried = 0;
  for (Val a : kernel_.operands(n)) carried += static_cast<size_t>(cut(a).rows * cut(a).pieces());
  if (carried < 8) return 1;
  for (Val k = v + 1; k < n.at; ++k) {
    const Node& step = at(k);
    if (step.kind == Kind::carry || step.kind == Kind::map) continue;
    if (step.kind != Kind::load) return 1;
    Dim offset = loops::element_offset(kernel_.buffers[static_cast<size_t>(step.buffer)], kernel_.index(step));
    if (!coefficient(offset, n.variable)) return 1;
  }
  for (int copies : {4, 3, 2})
    if (n.extent.value() > 0 && n.extent.value() % copies == 0) return copies;
  return 1;
}

void Emitter::begin_loop(Val v) {
  const Node& n = at(v);
  bool parallel = n.loop == LoopKind::parallel;
  if (parallel && !loops_.empty())
    fail("compile_kernel", "expected parallel loops outermost only, got one inside a loop");
  Loop loop;
  loop.begin = v;
  loop.entered = !parallel && scopes_->nonnegative(n.extent - Dim(1));
  loop.copies = copies_of_body(v);
  loop.once = !parallel && scopes_->nonnegative(Dim(loop.copies) - n.extent);
  Value* from = parallel ? low_ : b_.getInt64(0);
  loop.extent = parallel ? high_ : scopes_->dim(n.extent);
  for (Val a : kernel_.operands(n)) loop.initial.push_back(pieces(a));
  loop.before = b_.GetInsertBlock();
  loop.body = llvm::BasicBlock::Create(context_, "loop", function_);
  loop.exit = llvm::BasicBlock::Create(context_, "exit", function_);
  llvm::Instruction* anchor = loop.entered ? b_.CreateBr(loop.body)
                                           : b_.CreateCondBr(b_.CreateICmpSLT(from, loop.extent), loop.body, loop.exit);
  loop.anchor = anchor;
  scopes_->enter(anchor);
  b_.SetInsertPoint(loop.body);
  loop.variable = nullptr;
  if (!loop.once) {
    loop.variable = b_.CreatePHI(b_.getInt64Ty(), 2);
    loop.variable->addIncoming(from, loop.before);
  }
  scopes_->define(n.variable, loop.once ? from : loop.variable, n.extent - Dim(1));
  for (size_t i = 0; i < loop.initial.size(); ++i) {
    Pieces& inside = pieces(v + 1 + static_cast<Val>(i));
    loop.carried.emplace_back();
    for (Value* p : loop.initial[i]) {
      if (loop.once) {
        inside.push_back(p);
        continue;
      }
      auto* phi = b_.CreatePHI(p->getType(), 2);
      phi->addIncoming(p, loop.before);
      loop.carried[i].push_back(phi);
      inside.push_back(phi);
    }
  }
  loops_.push_back(std::move(loop));
}

std::vector<Pieces> Emitter::yielded(const Loop& loop, Val v) {
  std::vector<Pieces> next;
  auto yields = kernel_.operands(at(v));
  for (size_t i = 0; i < yields.size(); ++i) {
    Cut c = cut(kernel_.operands(at(loop.begin))[i]);
    next.emplace_back();
    for (int r = 0; r < c.rows; ++r)
      for (int p = 0; p < c.pieces(); ++p) next.back().push_back(operand(yields[i], r, p, c.length(p)));
  }
  return next;
}

/// The other copies of the body that ends before `v`, each for the step after; what the last one yields.
std::vector<Pieces> Emitter::repeat_body(const Loop& loop, Val v) {
  const Node& head = at(loop.begin);
  std::vector<Pieces> next = yielded(loop, v);
  Val first = loop.begin + 1 + static_cast<Val>(next.size());
  for (int copy = 1; copy < loop.copies; ++copy) {
    // What copies read alike is read again: kept in registers, it would drive out the sums.
    auto* nothing = llvm::FunctionType::get(b_.getVoidTy(), false);
    b_.CreateCall(nothing, llvm::InlineAsm::get(nothing, "", "~{memory}", true));
    scopes_->leave();
    scopes_->enter(loop.anchor);
    Value* step = b_.getInt64(static_cast<u64>(copy));
    scopes_->define(head.variable, loop.variable ? b_.CreateAdd(loop.variable, step, "", false, true) : step,
                    head.extent - Dim(1));
    for (size_t i = 0; i < next.size(); ++i) pieces(loop.begin + 1 + static_cast<Val>(i)) = next[i];
    for (Val k = first; k < v; ++k) {
      pieces(k).clear();
      node(k);
    }
    next = yielded(loop, v);
  }
  return next;
}

void Emitter::end_loop(Val v) {
  Loop loop = std::move(loops_.back());
  loops_.pop_back();
  const Node& head = at(loop.begin);
  std::vector<Pieces> next = repeat_body(loop, v);
  auto* latch = b_.GetInsertBlock();
  if (loop.once) {
    b_.CreateBr(loop.exit);
  } else {
    Value* following = b_.CreateAdd(loop.variable, b_.getInt64(static_cast<u64>(loop.copies)), "", false, true);
    latch = b_.GetInsertBlock();
    b_.CreateCondBr(b_.CreateICmpSLT(following, loop.extent), loop.body, loop.exit);
    loop.variable->addIncoming(following, latch);
    for (size_t i = 0; i < next.size(); ++i)
      for (size_t p = 0; p < next[i].size(); ++p) loop.carried[i][p]->addIncoming(next[i][p], latch);
  }
  // Symbols of `index` nodes in the body end with it.
  do {
    bool own = scopes_->defines(head.variable);
    scopes_->leave();
    if (own) break;
  } while (true);
  b_.SetInsertPoint(loop.exit);
  for (size_t i = 0; i < next.size(); ++i) {
    Pieces& results = pieces(v + 1 + static_cast<Val>(i));
    for (size_t p = 0; p < next[i].size(); ++p) {
      if (loop.entered) {
        results.push_back(next[i][p]);
        continue;
      }
      auto* phi = b_.CreatePHI(next[i][p]->getType(), 2);
      phi->addIncoming(loop.initial[i][p], loop.before);
      phi->addIncoming(next[i][p], latch);
      results.push_back(phi);
    }
  }
}

}  // namespace tn::cpu
