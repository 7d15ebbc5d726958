// Calls from the op table into plugins, and what the host offers them meanwhile. Nothing is thrown across the border.
#include "engine/plugin_rules.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/thread_own.h"
#include "op/emit.h"

/// One infer or run call in flight.
struct tenon_call {
  const tn::Attrs* attrs = nullptr;
  std::span<const tn::Type> operands;
  std::vector<tn::Type> results;
  std::string error;
};

namespace tn {

namespace {

std::array<std::atomic<const PluginOp*>, kMaxPluginOps> slots;

// ---------------------------------------------------------------- what the host offers

template <class T>
const T* field(const tenon_call* call, const char* name) {
  const Attr* a = call->attrs->find(name);
  return a ? std::get_if<T>(a) : nullptr;
}

template <class T>
int64_t list_field(const tenon_call* call, const char* name, const T** values) {
  const auto* v = field<std::vector<T>>(call, name);
  *values = v && !v->empty() ? v->data() : nullptr;
  return v ? static_cast<int64_t>(v->size()) : 0;
}

Dim to_dim(tenon_dim d) {
  u64 raw = reinterpret_cast<u64>(d);
  return raw & 1 ? Dim(static_cast<i64>(raw) >> 1) : Dim(reinterpret_cast<const DimNode*>(raw));
}
tenon_dim from_dim(Dim d) { return reinterpret_cast<tenon_dim>(d.bits()); }

const Type* operand(const tenon_call* call, int32_t i) {
  return i >= 0 && static_cast<size_t>(i) < call->operands.size() ? &call->operands[static_cast<size_t>(i)] : nullptr;
}

int fail_call(tenon_call* call, const char* message) {
  call->error = message ? message : "no reason given";
  return 1;
}

tenon_dim operand_dim(const tenon_call* call, int32_t i, int32_t axis) {
  const Type* t = operand(call, i);
  if (t && axis < 0) axis += t->rank();
  return t && axis >= 0 && axis < t->rank() ? from_dim(t->dim(axis)) : from_dim(Dim(-1));
}

void set_result(tenon_call* call, int32_t result, tenon_dtype dtype, int32_t rank, const tenon_dim* shape) {
  if (result < 0 || result >= static_cast<int32_t>(kMaxPluginOperands) || rank < 0 || rank > 64 || dtype > TENON_BOOL) {
    fail_call(call, "set_result was given a result, rank or dtype out of range");
    return;
  }
  Shape dims;
  for (int32_t i = 0; i < rank; ++i) dims.push_back(to_dim(shape[i]));
  auto at = static_cast<size_t>(result);
  if (call->results.size() <= at) call->results.resize(at + 1);
  try {
    call->results[at] = Type::tensor(static_cast<DType>(dtype), dims);
  } catch (const std::exception& e) { fail_call(call, e.what()); }
}

/// An impossible size becomes -1, which the result's type then refuses.
template <Dim (*kOp)(Dim, Dim)>
tenon_dim dim_op(tenon_dim a, tenon_dim b) {
  try {
    return from_dim(kOp(to_dim(a), to_dim(b)));
  } catch (const std::exception&) { return from_dim(Dim(-1)); }
}
Dim plus(Dim a, Dim b) { return a + b; }
Dim minus(Dim a, Dim b) { return a - b; }
Dim times(Dim a, Dim b) { return a * b; }

const tenon_host kHost = {
    .version = TENON_PLUGIN_VERSION,
    .integer_field =
        [](const tenon_call* call, const char* name) {
          const auto* v = field<i64>(call, name);
          return v ? *v : 0;
        },
    .float_field =
        [](const tenon_call* call, const char* name) {
          const auto* v = field<double>(call, name);
          return v ? *v : 0.0;
        },
    .string_field =
        [](const tenon_call* call, const char* name) {
          const auto* v = field<std::string>(call, name);
          return v ? v->c_str() : "";
        },
    .integers_field = list_field<i64>,
    .floats_field = list_field<double>,
    .operand_dtype =
        [](const tenon_call* call, int32_t i) {
          const Type* t = operand(call, i);
          return t ? static_cast<tenon_dtype>(t->dtype()) : TENON_F32;
        },
    .operand_rank =
        [](const tenon_call* call, int32_t i) {
          const Type* t = operand(call, i);
          return t ? static_cast<int32_t>(t->rank()) : -1;
        },
    .operand_dim = operand_dim,
    .dim = [](int64_t value) { return from_dim(Dim(value)); },
    .dim_add = dim_op<plus>,
    .dim_sub = dim_op<minus>,
    .dim_mul = dim_op<times>,
    .dim_floordiv = dim_op<floordiv>,
    .dim_min = dim_op<min>,
    .dim_max = dim_op<max>,
    .dim_equal = [](tenon_dim a, tenon_dim b) { return static_cast<int32_t>(a == b); },
    .set_result = set_result,
    .fail = fail_call,
};

// ---------------------------------------------------------------- the rules

void check(const tenon_op& op, const tenon_call& call, int status, const char* what) {
  if (!call.error.empty()) fail(op.name, call.error);
  if (status)
    fail(op.name,
         "the plugin's " + std::string(what) + " failed with status " + std::to_string(status) + " and no message");
}

std::vector<Type> infer(const PluginOp& p, std::span<const Type> operands, const Attrs& attrs) {
  const tenon_op& op = *p.op;
  for (const Type& t : operands)
    if (!(op.dtypes >> static_cast<unsigned>(t.dtype()) & 1))
      fail(op.name, "expected operands of a dtype the plugin accepts, got " + to_string(t) + "; use cast");
  if (!op.infer) return {operands[0]};
  tenon_call call{&attrs, operands, {}, {}};
  int status = op.infer(&kHost, &call);
  check(op, call, status, "infer");
  bool complete = call.results.size() == static_cast<size_t>(op.results);
  for (const Type& t : call.results) complete = complete && t;
  if (!complete)
    fail(op.name, "expected the plugin's infer to set " + std::to_string(op.results) + " results, got fewer");
  return call.results;
}

tenon_tensor tensor_of(const Array& a) {
  return {a.bytes_begin(), static_cast<tenon_dtype>(a.dtype), static_cast<int32_t>(a.shape.size()), a.shape.data()};
}

/// Bytes for a copy of what is not aligned as plugins are promised: lanes of a scan, tensors of a mapped file and
/// memory of the user begin anywhere. 0 where none is needed.
size_t room_for_copy(const Array& a) {
  if (reinterpret_cast<std::uintptr_t>(a.bytes_begin()) % kAlignment == 0) return 0;
  return (a.nbytes() / kAlignment + 1) * kAlignment;
}

struct Scratch {
  StoragePtr memory;
};
constexpr size_t kMostKept = 1 << 24;

void run(const PluginOp& p, std::span<const Array> operands, std::span<Array> results, const Attrs& attrs) {
  size_t room = 0;
  for (const Array& a : operands) room += room_for_copy(a);
  for (const Array& a : results) room += room_for_copy(a);
  StoragePtr memory;
  if (room) {
    memory = std::move(thread_own<Scratch>().memory);
    if (!memory || memory->bytes() < room) memory = Storage::allocate(room);
  }
  std::byte* next = room ? memory->data() : nullptr;
  auto placed = [&](const Array& a) {
    tenon_tensor t = tensor_of(a);
    if (size_t size = room_for_copy(a)) t.data = std::exchange(next, next + size);
    return t;
  };
  std::array<tenon_tensor, kMaxPluginOperands> in, out;
  std::transform(operands.begin(), operands.end(), in.begin(), placed);
  std::transform(results.begin(), results.end(), out.begin(), placed);
  for (size_t i = 0; i < operands.size(); ++i)
    if (in[i].data != operands[i].bytes_begin())
      std::memcpy(in[i].data, operands[i].bytes_begin(), operands[i].nbytes());
  tenon_call call{&attrs, {}, {}, {}};
  int status = p.op->run(&kHost, &call, in.data(), out.data());
  check(*p.op, call, status, "run");
  for (size_t i = 0; i < results.size(); ++i)
    if (out[i].data != results[i].bytes_begin())
      std::memcpy(results[i].bytes_begin(), out[i].data, results[i].nbytes());
  if (room && memory->bytes() <= kMostKept) thread_own<Scratch>().memory = std::move(memory);
}

std::vector<Type> types_of(ValueSpan x) {
  std::vector<Type> r;
  for (const Value& v : x) r.push_back(v.type());
  return r;
}

/// forward: operands -> (results, residuals = operands and results); backward: (residuals, cotangents) -> cotangents.
/// The plugin takes a cotangent for every result, custom_vjp has those of floating ones: zeros stand for the others.
Values expand(const PluginOp& p, Builder& b, ValueSpan x, const Attrs& attrs) {
  if (!p.gradient) return b.emit(p.kernel, x, attrs);
  size_t operands = x.size(), results = static_cast<size_t>(p.op->results);
  GraphPtr forward = make_graph(types_of(x), [&](Builder& fb, ValueSpan in) {
    Values y = fb.emit(p.kernel, in, attrs), out = y;
    out.insert(out.end(), in.begin(), in.end());
    out.insert(out.end(), y.begin(), y.end());
    return out;
  });
  std::vector<Type> outs = forward->output_types();
  auto split = outs.begin() + static_cast<std::ptrdiff_t>(results);
  std::vector<Type> types(split, outs.end());
  std::copy_if(outs.begin(), split, std::back_inserter(types), differentiable);
  GraphPtr backward = make_graph(types, [&](Builder& bb, ValueSpan in) {
    Values given(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(operands + results)), out;
    size_t next = given.size();
    for (auto t = outs.begin(); t != split; ++t) given.push_back(differentiable(*t) ? in[next++] : zeros(bb, *t));
    Values g = bb.emit(p.gradient->kernel, given, attrs);
    for (size_t i = 0; i < operands; ++i)
      if (differentiable(in[i].type())) out.push_back(g[i]);
    return out;
  });
  return b.emit(op("custom_vjp"), x,
                Attrs{{"forward", forward}, {"backward", backward}, {"results", static_cast<i64>(results)}});
}

/// The plugin knows nothing of lanes: a batched call is a scan over them.
Batched batch(const PluginOp& p, Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
  Values operands;
  std::vector<Type> types;
  std::vector<size_t> order;
  for (bool lanes : {false, true})
    for (size_t i = 0; i < x.size(); ++i)
      if (batched[i] == lanes) {
        order.push_back(i);
        operands.push_back(x[i]);
        types.push_back(lanes ? x[i].type().with(x[i].shape().subspan(1)) : x[i].type());
      }
  i64 consts = 0;
  for (bool lane : batched) consts += !lane;
  GraphPtr body = make_graph(types, [&](Builder& bb, ValueSpan in) {
    Values args(in.size());
    for (size_t k = 0; k < order.size(); ++k) args[order[k]] = in[k];
    return bb.emit(p.kernel, args, attrs);
  });
  Values r =
      b.emit(op("scan"), operands,
             Attrs{{"body", body}, {"consts", consts}, {"carry", i64{0}}, {"length", Shape{n}}, {"reverse", false}});
  return {r, Mask(r.size(), true)};
}

std::vector<Array> reference(const PluginOp& p, std::span<const Array> in, const Attrs& attrs,
                             std::span<const Type> results, const DimEnv& env) {
  std::vector<Array> out;
  for (Type t : results) {
    std::vector<i64> shape;
    for (Dim d : t.shape()) shape.push_back(evaluate(d, env));
    out.push_back(Array::empty(t.dtype(), shape));
  }
  run(p, in, out, attrs);
  return out;
}

template <size_t N>
struct Rules {
  static const PluginOp& it() { return *slots[N].load(std::memory_order_acquire); }
  static std::vector<Type> type(std::span<const Type> x, const Attrs& a) { return infer(it(), x, a); }
  static void native(std::span<const Array> in, std::span<Array> out, const Attrs& a) { run(it(), in, out, a); }
  static Values expansion(Builder& b, ValueSpan x, const Attrs& a) { return expand(it(), b, x, a); }
  static Batched batching(Builder& b, Dim n, ValueSpan x, const Mask& m, const Attrs& a) {
    return batch(it(), b, n, x, m, a);
  }
  static std::vector<Array> oracle(std::span<const Array> in, const Attrs& a, std::span<const Type> r,
                                   const DimEnv& e) {
    return reference(it(), in, a, r, e);
  }
};

template <size_t... N>
constexpr std::array<PluginRules, sizeof...(N)> all_rules(std::index_sequence<N...>) {
  return {PluginRules{Rules<N>::type, Rules<N>::native, Rules<N>::expansion, Rules<N>::batching, Rules<N>::oracle}...};
}
constexpr auto kRules = all_rules(std::make_index_sequence<kMaxPluginOps>());

}  // namespace

const PluginRules& plugin_rules(size_t slot) { return kRules[slot]; }
void set_plugin_op(size_t slot, const PluginOp* op_) { slots[slot].store(op_, std::memory_order_release); }

}  // namespace tn
