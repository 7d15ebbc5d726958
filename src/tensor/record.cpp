#include "tensor/record.h"

#include <array>

#include "tensor/evaluate.h"
#include "tensor/trace.h"

namespace tn {

namespace {

/// f(), whose errors get the user's line.
template <class F>
auto located(const Location& where, F f) {
  try {
    return f();
  } catch (const Error& e) { throw Error(std::string(e.what()) + " (" + to_string(where) + ")"); }
}

/// The types of elementwise calls seen last, by operand types: a rule runs once.
struct CallTypes {
  const OpDef* op = nullptr;
  std::array<const TypeData*, 3> operands{};
  Type result;
};

CallTypes& recent_call(const OpDef& op, const std::array<const TypeData*, 3>& operands) {
  thread_local std::array<CallTypes, 512> table;
  u64 h = reinterpret_cast<u64>(&op) ^ reinterpret_cast<u64>(operands[0]) * 3 ^ reinterpret_cast<u64>(operands[1]) * 5 ^
          reinterpret_cast<u64>(operands[2]) * 7;
  return table[h * 0x9E3779B97F4A7C15ull >> 55];
}

/// The shape all operands broadcast to.
Shape broadcast_shape(const OpDef& op, std::span<const Type> types) {
  int rank = 0;
  for (Type t : types) rank = std::max(rank, t.rank());
  Shape shape(static_cast<size_t>(rank), Dim(1));
  for (size_t k = 0; k < types.size(); ++k)
    for (int i = 0; i < types[k].rank(); ++i) {
      int axis = rank - types[k].rank() + i;
      Dim have = shape[static_cast<size_t>(axis)], next = types[k].dim(i);
      if (have == next || next == Dim(1)) continue;
      if (have == Dim(1)) {
        shape[static_cast<size_t>(axis)] = next;
        continue;
      }
      std::string list;
      for (Type t : types) list += (list.empty() ? "" : " and ") + to_string(t);
      fail(op.name, "expected shapes that broadcast, got " + list + ", which differ on axis " + std::to_string(axis) +
                        " (" + to_string(have) + " and " + to_string(next) + "); reshape one of them");
    }
  return shape;
}

Type elementwise_type(const OpDef& op, std::span<const Type> types) {
  Attrs attrs = check_call(op, types, {});
  Shape shape = broadcast_shape(op, types);
  std::vector<Type> equal;
  for (Type t : types) equal.push_back(t.with(shape));
  return op.type(equal, attrs)[0];
}

/// The common dtype of the tensors; nothing when there are none.
std::optional<DType> common_dtype(const OpDef& op, std::span<const Type> types) {
  std::optional<DType> common;
  for (Type t : types) {
    if (!t.is_tensor()) continue;
    if (common && *common != t.dtype() &&
        (is_float(*common) ? !is_float(t.dtype()) : !is_integer(*common) || !is_integer(t.dtype()))) {
      std::string list;
      for (Type u : types) list += (list.empty() ? "" : " and ") + to_string(u);
      fail(op.name, "expected dtypes of one kind, got " + list + "; use cast, nothing is promoted across kinds");
    }
    common = common ? promote(*common, t.dtype()) : t.dtype();
  }
  return common;
}

bool takes(DType dtype, Arg::Kind kind) {
  if (kind == Arg::Kind::boolean) return dtype == DType::boolean;
  return kind == Arg::Kind::integer ? dtype != DType::boolean : is_float(dtype);
}

void check_number(const OpDef& op, const Arg& x, DType dtype) {
  if (takes(dtype, x.kind())) return;
  std::string_view kind = x.kind() == Arg::Kind::boolean   ? "a bool"
                          : x.kind() == Arg::Kind::integer ? "an integer"
                                                           : "a floating number";
  fail(op.name, "expected a number that a tensor of " + std::string(name(dtype)) + " can take, got " +
                    std::string(kind) + "; use cast, nothing is promoted across kinds");
}

Tensor cast_to(const Tensor& x, DType dtype, const Location& where) {
  if (x.node()->type.dtype() == dtype) return x;
  return apply1(the<"cast">(), {x}, {{"dtype", dtype}}, where);
}

/// All numbers: the widest kind's dtype.
DType dtype_of_numbers(std::span<const Arg* const> operands) {
  DType best = DType::boolean;
  for (const Arg* x : operands) {
    DType d = default_dtype(x->kind());
    if (best == DType::boolean || is_float(d)) best = d;
  }
  return best;
}

/// The slow path of elementwise: dtypes differ, or a number meets no tensor.
void unify(const OpDef& op, std::span<const Arg* const> operands, std::span<Tensor> made) {
  std::vector<Type> types;
  for (const Arg* x : operands)
    if (x->is_tensor()) types.push_back(node_of(x->tensor(), op.name, x->where)->type);
  const Location& where = operands[0]->where;
  std::optional<DType> common;
  if (op.signature.same_dtype) common = located(where, [&] { return common_dtype(op, types); });
  DType dtype = common ? *common : dtype_of_numbers(operands);
  for (size_t i = 0; i < operands.size(); ++i) {
    const Arg& x = *operands[i];
    if (x.is_tensor()) {
      made[i] = common ? cast_to(x.tensor(), dtype, x.where) : x.tensor();
    } else {
      located(where, [&] { check_number(op, x, dtype); });
      made[i] = handle(new_literal(x, dtype, op.name));
    }
  }
}

bool has_effect(const OpDef& op, const Attrs& attrs) {
  if (!op.effect.as<Pure>()) return true;
  for (const auto& [key, value] : attrs.items())
    if (const auto* g = std::get_if<GraphPtr>(&value); g && *g && (*g)->effectful()) return true;
  return false;
}

/// An effect belongs to the trace it happens in; outside of traces it happens now.
void settle_effect(Pending* p, const Location& where) {
  p->flags |= kEffect;
  TraceState* trace = current_trace();
  if (!trace) return evaluate({&p, 1}, where);
  p->flags &= static_cast<u8>(~kConstant);
  p->level = std::max(p->level, trace->level);
  if (!trace->rules.reads) p->flags |= kNoValue;
  trace->effects.push_back(shared_handle(p));
}

std::vector<Tensor> promoted(const OpDef& op, std::span<const Tensor> operands, const Location& where) {
  std::vector<Type> types;
  bool equal = true;
  for (const Tensor& t : operands) {
    types.push_back(node_of(t, op.name, where)->type);
    equal = equal && (!types.back().is_tensor() || types.back().dtype() == types[0].dtype());
  }
  std::vector<Tensor> result(operands.begin(), operands.end());
  if (equal || !op.signature.same_dtype) return result;
  DType dtype = *located(where, [&] { return common_dtype(op, types); });
  for (Tensor& t : result) t = cast_to(t, dtype, where);
  return result;
}

}  // namespace

Tensor elementwise(const OpDef& op, std::initializer_list<const Arg*> operands) {
  const Arg* const* args = operands.begin();
  size_t n = operands.size();
  const Location& where = args[0]->where;
  std::array<Pending*, 3> nodes{};
  std::array<const TypeData*, 3> types{};
  std::array<Tensor, 3> made;
  auto take = [&](size_t i, Pending* p) {
    nodes[i] = p;
    types[i] = p->type.data();
  };
  bool ready = true;
  for (size_t i = 0; i < n; ++i) {
    if (args[i]->is_tensor() && args[i]->tensor().defined())
      take(i, args[i]->tensor().node());
    else
      ready = false;
  }
  if (!ready && n == 2 && op.signature.same_dtype) {  // a number with a tensor
    size_t t = nodes[0] ? 0 : 1;
    const Arg& number = *args[1 - t];
    if (nodes[t] && !number.is_tensor()) {
      DType dtype = nodes[t]->type.dtype();
      if (!takes(dtype, number.kind())) located(where, [&] { check_number(op, number, dtype); });
      made[1 - t] = handle(new_literal(number, dtype, op.name));
      take(1 - t, made[1 - t].node());
      ready = true;
    }
  }
  CallTypes* call = &recent_call(op, types);
  bool known = ready && call->op == &op && call->operands[0] == types[0] && call->operands[1] == types[1] &&
               call->operands[2] == types[2];
  if (!known) {
    unify(op, {args, n}, made);
    std::array<Type, 3> found;
    for (size_t i = 0; i < n; ++i) {
      take(i, made[i].node());
      found[i] = nodes[i]->type;
    }
    Type result = located(where, [&] { return elementwise_type(op, {found.data(), n}); });
    call = &recent_call(op, types);
    *call = {&op, types, result};
  }
  return handle(new_operation(op, {nodes.data(), n}, call->result, {}, where));
}

std::vector<Tensor> apply(const OpDef& op, std::span<const Tensor> given, const Attrs& attrs, const Location& where) {
  std::vector<Tensor> operands = promoted(op, given, where);
  std::vector<Type> types;
  for (const Tensor& t : operands) types.push_back(t.node()->type);
  Attrs full = located(where, [&] { return check_call(op, types, attrs); });
  std::vector<Type> results = located(where, [&] { return op.type(types, full); });
  std::vector<Pending*> nodes;
  for (const Tensor& t : operands) nodes.push_back(t.node());
  bool effect = has_effect(op, full);
  bool single = results.size() == 1;
  Tensor node = handle(new_operation(op, nodes, single ? results[0] : Type(), full, where));
  std::vector<Tensor> made;
  if (!single) {
    if (effect && current_trace()) settle_effect(node.node(), where);  // its results take its level
    for (Pending* get : new_gets(node.node(), results)) made.push_back(handle(get));
    if (effect && !current_trace()) settle_effect(node.node(), where);
    return made;
  }
  if (effect) settle_effect(node.node(), where);
  made.push_back(std::move(node));
  return made;
}

Tensor apply1(const OpDef& op, std::span<const Tensor> operands, const Attrs& attrs, const Location& where) {
  return apply(op, operands, attrs, where)[0];
}

std::vector<Tensor> call_graph(const GraphPtr& g, std::span<const Tensor> inputs, const Location& where, bool remat) {
  return apply(the<"call">(), inputs, {{"body", g}, {"remat", remat}}, where);
}

Tensor tensor_of(const Arg& x) {
  if (x.is_tensor()) return x.tensor();
  return handle(new_literal(x, default_dtype(x.kind())));
}

Tensor tensor_of(const Arg& x, DType dtype) {
  if (x.is_tensor()) return x.tensor();
  return handle(new_literal(x, dtype));
}

}  // namespace tn
