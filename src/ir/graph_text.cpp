// Graphs as text, both ways:
//
//   graph(%0: f32[n, 3], %1: f32[3]) {
//     %2: f32[n, 3] = broadcast(%1) {dims=[1], shape=<n, 3>}
//     %3: f32[n, 3] = add(%0, %2)
//     return %3
//   }
//
// Attributes by form: true, 3, 0.5, "text", f32, [1, 2], (0.5, 1.0), <n, 3>, array f32[2] {1.0, 2.0}, graph(...) {...}.
#include <algorithm>
#include <unordered_map>

#include "ir/graph_text.h"
#include "ir/op_def.h"

namespace tn {

// ---------------------------------------------------------------- printing

namespace {

std::string id(u32 value) { return "%" + std::to_string(value); }

template <class Items, class Text>
std::string listed(const char* open, const Items& items, const char* close, Text text) {
  std::string result = open;
  bool first = true;
  for (const auto& item : items) {
    if (!first) result += ", ";
    first = false;
    result += text(item);
  }
  return result + close;
}

constexpr i64 kReadableElements = 64;

std::string array_text(const Array& a) {
  std::string text = "array " + std::string(name(a.dtype));
  text += listed("[", a.shape, "]", [](i64 e) { return std::to_string(e); });
  if (a.size() <= kReadableElements) {
    text += " {";
    for (i64 i = 0; i < a.size(); ++i) {
      if (i) text += ", ";
      text += is_float(a.dtype) ? number_text(a.get(i)) : std::to_string(a.get_int(i));
    }
    return text + "}";
  }
  static constexpr char kHex[] = "0123456789abcdef";
  text += " x\"";
  for (size_t i = 0; i < a.nbytes(); ++i) {
    auto byte = static_cast<unsigned char>(a.bytes_begin()[i]);
    (text += kHex[byte >> 4]) += kHex[byte & 15];
  }
  return text + "\"";
}

struct AttrText {
  std::string indent;
  std::string operator()(bool v) const { return v ? "true" : "false"; }
  std::string operator()(i64 v) const { return std::to_string(v); }
  std::string operator()(double v) const { return number_text(v); }
  std::string operator()(const std::string& v) const { return quote(v); }
  std::string operator()(DType v) const { return std::string(name(v)); }
  std::string operator()(const std::vector<i64>& v) const {
    return listed("[", v, "]", [](i64 x) { return std::to_string(x); });
  }
  std::string operator()(const std::vector<double>& v) const { return listed("(", v, ")", number_text); }
  std::string operator()(const Shape& v) const {
    return listed("<", v, ">", [](Dim d) { return to_string(d); });
  }
  std::string operator()(const Array& v) const { return array_text(v); }
  std::string operator()(const GraphPtr& v) const;
};

std::string attrs_text(const Attrs& attrs, const std::string& indent) {
  return listed("{", attrs.items(), "}",
                [&](const NamedAttr& a) { return a.first + "=" + std::visit(AttrText{indent}, a.second); });
}

std::string graph_text(const Graph& g, const std::string& indent) {
  std::string text = "graph(";
  for (u32 i = 0; i < g.input_count(); ++i) text += (i ? ", " : "") + id(i) + ": " + to_string(g.type(i));
  text += ") {\n";
  for (const Node& n : g.nodes()) {
    text += indent + "  ";
    for (u32 i = 0; i < n.result_count; ++i)
      text += (i ? ", " : "") + id(n.first_result + i) + ": " + to_string(g.type(n.first_result + i));
    text += n.result_count ? " = " : "";
    text += n.op->name;
    text += listed("(", g.operands(n), ")", id);
    if (!n.attrs.empty()) text += " " + attrs_text(n.attrs, indent + "  ");
    text += "\n";
  }
  text += indent + "  return" + (g.outputs().empty() ? "" : " ");
  return text + listed("", g.outputs(), "", id) + "\n" + indent + "}";
}

std::string AttrText::operator()(const GraphPtr& v) const { return graph_text(*v, indent); }

}  // namespace

std::string to_string(const Graph& g) { return graph_text(g, ""); }
std::string to_string(const Attrs& attrs) { return attrs_text(attrs, ""); }

std::string to_string(const Program& p) {
  std::string text;
  for (const auto& [graph_name, g] : p.graphs) text += quote(graph_name) + " = " + to_string(*g) + "\n";
  return text;
}

// ---------------------------------------------------------------- parsing

namespace {

class GraphParser {
 public:
  explicit GraphParser(Cursor& cursor) : cursor_(cursor) {}

  GraphPtr whole() {
    GraphPtr g = graph();
    if (!cursor_.at_end()) cursor_.fail_expected("the end of the text");
    return g;
  }

  Program program() {
    Program p;
    while (!cursor_.at_end()) {
      std::string graph_name = cursor_.quoted();
      if (p.find(graph_name)) cursor_.fail_expected("each graph's name once");
      cursor_.need("=");
      p.graphs.emplace_back(std::move(graph_name), graph());
    }
    return p;
  }

  Type type() {
    if (cursor_.eat("token")) return Type::token();
    DType d = dtype();
    cursor_.need("[");
    return Type::tensor(d, shape("]"));
  }

  Attrs attrs() {
    std::vector<NamedAttr> items;
    if (cursor_.eat("{"))
      cursor_.list("}", [&] {
        std::string key(cursor_.word());
        cursor_.need("=");
        items.emplace_back(std::move(key), attr());
      });
    return Attrs(std::move(items));
  }

 private:
  using Names = std::unordered_map<i64, Value>;

  DType dtype() { return dtype_from_name(cursor_.word()); }

  Shape shape(std::string_view close) {
    Shape dims;
    cursor_.list(close, [&] { dims.push_back(cursor_.dim()); });
    return dims;
  }

  Value value(const Names& names) {
    cursor_.need("%");
    auto found = names.find(cursor_.integer());
    if (found == names.end()) cursor_.fail_expected("a value defined above");
    return found->second;
  }

  std::pair<i64, Type> definition() {
    cursor_.need("%");
    i64 number = cursor_.integer();
    cursor_.need(":");
    return {number, type()};
  }

  Array array() {
    DType d = dtype();
    cursor_.need("[");
    std::vector<i64> extents;
    cursor_.list("]", [&] { extents.push_back(cursor_.integer()); });
    // Never allocate what the text cannot hold: an element takes at least one character.
    i64 count = 1;
    for (i64 e : extents)
      if (e < 0 || __builtin_mul_overflow(count, e, &count))
        cursor_.fail_expected("extents whose product fits 63 bits");
    if (count < 0 || static_cast<u64>(count) > cursor_.remaining())
      cursor_.fail_expected("as many elements as the shape has");
    Array a = Array::empty(d, std::move(extents));
    if (cursor_.eat("x\""))
      read_hex(a);
    else
      read_elements(a);
    return a;
  }

  void read_hex(const Array& a) {
    std::string_view rest = cursor_.rest();
    if (rest.size() / 2 < a.nbytes()) cursor_.fail_expected("two hexadecimal digits a byte");
    auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
    for (size_t i = 0; i < a.nbytes(); ++i) {
      int high = digit(rest[2 * i]), low = digit(rest[2 * i + 1]);
      if (high < 0 || low < 0) cursor_.fail_expected("two hexadecimal digits a byte");
      a.bytes_begin()[i] = static_cast<std::byte>(high * 16 + low);
    }
    cursor_.advance(2 * a.nbytes());
    cursor_.need("\"");
  }

  void read_elements(const Array& a) {
    cursor_.need("{");
    for (i64 i = 0; i < a.size(); ++i) {
      if (i) cursor_.need(",");
      if (is_float(a.dtype))
        a.set(i, cursor_.number());
      else
        a.set_int(i, cursor_.integer());
    }
    cursor_.need("}");
  }

  /// An integer has neither point nor exponent.
  Attr number() {
    std::string_view rest = cursor_.rest();
    size_t end = rest.find_first_not_of("+-0123456789");
    bool is_int = !rest.starts_with("0b") &&
                  (end == rest.npos || (rest[end] != '.' && rest[end] != 'e' && rest[end] != 'i' && rest[end] != 'n'));
    if (is_int) return cursor_.integer();
    return cursor_.number();
  }

  Attr attr() {
    char c = cursor_.peek();
    if (c == '"') return cursor_.quoted();
    if (cursor_.eat("[")) {
      std::vector<i64> v;
      cursor_.list("]", [&] { v.push_back(cursor_.integer()); });
      return v;
    }
    if (cursor_.eat("(")) {
      std::vector<double> v;
      cursor_.list(")", [&] { v.push_back(cursor_.number()); });
      return v;
    }
    if (cursor_.eat("<")) return shape(">");
    if (cursor_.eat("inf")) return std::numeric_limits<double>::infinity();
    if (!cursor_.at_word()) return number();
    if (cursor_.rest().starts_with("graph(")) return graph();
    if (cursor_.eat("true")) return true;
    if (cursor_.eat("false")) return false;
    if (cursor_.eat("array")) return array();
    return dtype();
  }

  void node(Builder& b, Names& names) {
    std::vector<std::pair<i64, Type>> results;
    if (cursor_.peek() == '%') {
      do results.push_back(definition());
      while (cursor_.eat(","));
      cursor_.need("=");
    }
    const OpDef& op_ = op(cursor_.word());
    Values operands;
    cursor_.need("(");
    cursor_.list(")", [&] { operands.push_back(value(names)); });
    Values made = b.emit(op_, operands, attrs());
    if (made.size() != results.size())
      cursor_.fail_expected(std::to_string(made.size()) + " results of " + std::string(op_.name));
    for (size_t i = 0; i < made.size(); ++i) {
      if (made[i].type() != results[i].second)
        fail("parse_graph", std::string(op_.name) + ": expected result type " + to_string(made[i].type()) + ", got " +
                                to_string(results[i].second));
      if (!names.emplace(results[i].first, made[i]).second) cursor_.fail_expected("each value defined once");
    }
  }

  GraphPtr graph() {
    Cursor::Nest nest(cursor_);
    cursor_.need("graph");
    cursor_.need("(");
    Builder b;
    Names names;
    cursor_.list(")", [&] {
      auto [number, t] = definition();
      if (!names.emplace(number, b.input(t)).second) cursor_.fail_expected("each value defined once");
    });
    cursor_.need("{");
    while (!cursor_.eat("return")) node(b, names);
    Values outputs;
    cursor_.list("}", [&] { outputs.push_back(value(names)); });
    return b.build(outputs, true);
  }

  Cursor& cursor_;
};

}  // namespace

GraphPtr parse_graph(std::string_view text) {
  Cursor cursor(text, "parse_graph");
  return GraphParser(cursor).whole();
}

Program parse_program(std::string_view text) {
  Cursor cursor(text, "parse_graph");
  return GraphParser(cursor).program();
}

Type parse_type(Cursor& cursor) { return GraphParser(cursor).type(); }
Attrs parse_attrs(Cursor& cursor) { return GraphParser(cursor).attrs(); }

}  // namespace tn
