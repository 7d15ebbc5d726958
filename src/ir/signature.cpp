// Calls are checked against the op's signature before its type rule runs, so a rule sees only sensible input.
#include "ir/op_def.h"

namespace tn {

namespace {

bool accepts(Operands kind, DType d) {
  switch (kind) {
    case Operands::any: return true;
    case Operands::floating: return is_float(d);
    case Operands::integer: return is_integer(d);
    case Operands::boolean: return d == DType::boolean;
    case Operands::numeric: return d != DType::boolean;
    case Operands::signed_numeric: return d != DType::boolean && is_signed(d);
  }
  return false;
}

std::string_view words(Operands kind) {
  constexpr std::string_view kWords[] = {"any tensor",    "a floating dtype", "an integer dtype",
                                         "a bool tensor", "a number",         "a signed number"};
  return kWords[static_cast<size_t>(kind)];
}

std::string_view word(AttrKind kind) {
  constexpr std::string_view kWords[] = {"bool",     "integer", "float", "string", "dtype",
                                         "integers", "floats",  "dims",  "array",  "graph"};
  return kWords[static_cast<size_t>(kind)];
}

void check_count(const OpDef& op, size_t got) {
  size_t want = op.signature.operands.size();
  bool variadic = want && op.signature.operands.back().variadic;
  if (variadic ? got + 1 >= want : got == want) return;
  fail(op.name, "expected " + std::string(variadic ? "at least " : "") + std::to_string(variadic ? want - 1 : want) +
                    " operands, got " + std::to_string(got));
}

void check_operand(const OpDef& op, const OperandSpec& spec, Type t) {
  if (!t.is_tensor()) return;
  if (accepts(spec.accepts, t.dtype())) return;
  fail(op.name, "expected " + std::string(words(spec.accepts)) + " for operand '" + std::string(spec.name) + "', got " +
                    to_string(t) + "; use cast");
}

void check_same_dtype(const OpDef& op, std::span<const Type> operands) {
  const Type* first = nullptr;
  for (const Type& t : operands) {
    if (!t.is_tensor()) continue;
    if (!first)
      first = &t;
    else if (t.dtype() != first->dtype())
      fail(op.name, "expected equal dtypes, got " + to_string(*first) + " and " + to_string(t) + "; use cast");
  }
}

bool all_given(const OpDef& op, const Attrs& attrs) {
  for (const AttrSpec& spec : op.signature.attrs) {
    const Attr* a = attrs.find(spec.name);
    if (!a || a->index() != static_cast<size_t>(spec.kind)) return false;
  }
  return attrs.items().size() == op.signature.attrs.size();
}

Attrs complete(const OpDef& op, const Attrs& attrs) {
  std::vector<NamedAttr> full;
  for (const AttrSpec& spec : op.signature.attrs) {
    const Attr* a = attrs.find(spec.name);
    if (!a && !spec.otherwise) fail(op.name, "expected attribute '" + std::string(spec.name) + "', got none");
    if (a && a->index() != static_cast<size_t>(spec.kind))
      fail(op.name, "expected attribute '" + std::string(spec.name) + "' to be of kind " +
                        std::string(word(spec.kind)) + ", got " + std::string(word(static_cast<AttrKind>(a->index()))));
    full.emplace_back(std::string(spec.name), a ? *a : *spec.otherwise);
  }
  for (const auto& [key, value] : attrs.items()) {
    bool known = false;
    for (const AttrSpec& spec : op.signature.attrs) known |= spec.name == key;
    if (!known) fail(op.name, "expected no attribute '" + key + "'; the op has none of that name");
  }
  return Attrs(std::move(full));
}

}  // namespace

Attrs check_call(const OpDef& op, std::span<const Type> operands, const Attrs& attrs) {
  check_count(op, operands.size());
  const auto& specs = op.signature.operands;
  for (size_t i = 0; i < operands.size(); ++i) check_operand(op, specs[std::min(i, specs.size() - 1)], operands[i]);
  if (op.signature.same_dtype) check_same_dtype(op, operands);
  return all_given(op, attrs) ? attrs : complete(op, attrs);
}

void check_portable(std::string_view where, const Node& n) {
  if (is_local(*n.op))
    fail(where,
         "expected ops that a file can hold, got " + std::string(n.op->name) +
             ", a function of this process; take it out of the network",
         n.where);
}

void check_portable(std::string_view where, const Graph& g) {
  for (const Node& n : g.nodes()) {
    check_portable(where, n);
    for (const auto& [name, value] : n.attrs.items())
      if (const auto* body = std::get_if<GraphPtr>(&value)) check_portable(where, **body);
  }
}

}  // namespace tn
