// Prints docs/ops.md from the op table.
#include <cstdio>
#include <string>

#include "ir/op_def.h"

namespace tn {

namespace {

std::string words(Operands kind) {
  constexpr const char* kWords[] = {"any", "floating", "integer", "bool", "number", "signed"};
  return kWords[static_cast<size_t>(kind)];
}

std::string word(AttrKind kind) {
  constexpr const char* kWords[] = {"bool",     "integer", "float", "string", "dtype",
                                    "integers", "floats",  "dims",  "array",  "graph"};
  return kWords[static_cast<size_t>(kind)];
}

std::string signature(const OpDef& op) {
  std::string text(op.name);
  text += "(";
  for (const OperandSpec& o : op.signature.operands) {
    if (text.back() != '(') text += ", ";
    text += std::string(o.name) + (o.variadic ? "...: " : ": ") + words(o.accepts);
  }
  for (const AttrSpec& a : op.signature.attrs) {
    if (text.back() != '(') text += ", ";
    text += std::string(a.name) + ": " + word(a.kind) + (a.otherwise ? " (optional)" : "");
  }
  return text + ")";
}

std::string derivative(const OpDef& op) {
  if (op.grad.as<Partials>()) return "partial derivatives";
  if (op.grad.as<Linear>()) return "linear";
  if (op.grad.as<Bilinear>()) return "linear in each operand";
  if (op.grad.as<Jvp>()) return "own rule";
  if (op.grad.as<Region>()) return "that of its graphs";
  if (op.grad.as<ByExpansion>()) return "that of its expansion";
  if (op.grad.as<Zero>()) return "zero";
  return "none: " + std::string(op.grad.as<NoGrad>()->why);
}

std::string lowering(const OpDef& op) {
  if (op.lower.as<Scalar>()) return "one expression by element";
  if (op.lower.as<Movement>()) return "movement of elements";
  if (op.lower.as<Costly>()) return "a loop by element";
  if (op.lower.as<Reduction>()) return "reduction by a fixed tree";
  if (op.lower.as<ArgReduction>()) return "reduction of places";
  if (op.lower.as<Prefix>()) return "running combination";
  if (op.lower.as<Contraction>()) return "contraction";
  if (op.lower.as<Native>()) return "native kernel";
  if (op.lower.as<Expand>()) return "expands into other ops";
  return "instructions of the plan";
}

}  // namespace

}  // namespace tn

int main() {
  std::printf("# Ops\n\nMade from the op table by `ops_page`; edit the entries in `src/op`, not this page.\n");
  for (const tn::OpDef* op : tn::all_ops()) {
    std::printf("\n## %s\n\n`%s`\n\n%s\n\n", std::string(op->name).c_str(), tn::signature(*op).c_str(),
                std::string(op->doc).c_str());
    std::printf("Derivative: %s. Kernel: %s.%s\n", tn::derivative(*op).c_str(), tn::lowering(*op).c_str(),
                op->effect.as<tn::Ordered>() ? " It has an effect, which happens once and in order." : "");
  }
  return 0;
}
