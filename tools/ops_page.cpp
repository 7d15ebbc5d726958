// Writes what is made from the op table: docs/ops.md, and the functions of elementwise ops for users, which only record
// a node. ops_page ROOT writes them below the root, ops_page --check ROOT fails where one is stale.
#include <cstdio>
#include <string>

#include "base/file.h"
#include "ir/op_def.h"
#include "tenon/error.h"

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

std::string page() {
  std::string text = "# Ops\n\nMade from the op table by `ops_page`; edit the entries in `src/op`, not this page.\n";
  for (const OpDef* op : all_ops())
    text += "\n## " + std::string(op->name) + "\n\n`" + signature(*op) + "`\n\n" + std::string(op->doc) +
            "\n\nDerivative: " + derivative(*op) + ". Kernel: " + lowering(*op) + "." +
            (op->effect.as<Ordered>() ? " It has an effect, which happens once and in order.\n" : "\n");
  return text;
}

/// Whether the function of users is the op: select is called `where`, and a literal exponent of pow is no operand.
bool is_function(const OpDef& op) {
  bool each = op.axes.as<Elementwise>() && op.effect.as<Pure>() && op.signature.attrs.empty();
  return each && op.name != "select" && op.name != "pow";
}

/// "Tensor add(Arg a, Arg b)", and "&a, &b".
std::string declaration(const OpDef& op) {
  std::string text = "Tensor " + std::string(op.name) + "(";
  for (const OperandSpec& o : op.signature.operands)
    text += (text.back() == '(' ? "Arg " : ", Arg ") + std::string(o.name);
  return text + ")";
}
std::string arguments(const OpDef& op) {
  std::string text;
  for (const OperandSpec& o : op.signature.operands) text += (text.empty() ? "&" : ", &") + std::string(o.name);
  return text;
}

/// The doc as a comment of at most 120 columns.
std::string comment(std::string_view doc) {
  constexpr size_t kColumns = 120 - 4;
  std::string text;
  while (!doc.empty()) {
    size_t end = doc.size() <= kColumns ? doc.size() : doc.rfind(' ', kColumns);
    text += "/// " + std::string(doc.substr(0, end)) + "\n";
    doc.remove_prefix(std::min(doc.size(), end + 1));
  }
  return text;
}

std::string header() {
  std::string text =
      "// Elementwise ops as functions: each records one node. Made from the op table by ops_page; edit the entries.\n"
      "#pragma once\n#include \"tenon/tensor.h\"\n\nnamespace [[gnu::visibility(\"default\")]] tn {\n\n";
  for (const OpDef* op : all_ops())
    if (is_function(*op)) text += comment(op->doc) + declaration(*op) + ";\n";
  return text + "\n}  // namespace tn\n";
}

std::string source() {
  std::string text =
      "// Elementwise ops as functions. Made from the op table by ops_page; edit the entries.\n#include "
      "\"tenon/elementwise.h\"\n\n#include \"tensor/helpers.h\"\n\nnamespace tn {\n\n";
  for (const OpDef* op : all_ops())
    if (is_function(*op))
      text += declaration(*op) + " { return elementwise(the<\"" + std::string(op->name) + "\">(), {" + arguments(*op) +
              "}); }\n";
  return text + "\n}  // namespace tn\n";
}

int run(int argc, char** argv) {
  bool check = argc == 3 && std::string_view(argv[1]) == "--check";
  if (argc != 2 && !check) {
    std::fprintf(stderr, "usage: ops_page [--check] ROOT\n");
    return 1;
  }
  int status = 0;
  for (const auto& [file, text] : {std::pair{"docs/ops.md", page()},
                                   {"include/tenon/elementwise.h", header()},
                                   {"src/tensor/ops_table.cpp", source()}}) {
    std::string path = std::string(argv[argc - 1]) + "/" + file;
    if (!check) {
      write_file("ops_page", path, text);
    } else if (read_file("ops_page", path) != text) {
      std::printf("%s is stale: run ops_page ROOT\n", file);
      status = 1;
    }
  }
  return status;
}

}  // namespace

}  // namespace tn

int main(int argc, char** argv) {
  try {
    return tn::run(argc, argv);
  } catch (const tn::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
