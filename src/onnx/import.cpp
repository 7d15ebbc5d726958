// The import itself: values by name, nodes in order, functions expanded in place, every problem collected.
#include "onnx/import.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <tuple>
#include <unordered_set>

#include "onnx/convert.h"

namespace tn::onnx {

namespace {

constexpr i64 kOldestOpset = 1, kNewestOpset = 27;
constexpr int kMaxCalls = 100;   // functions within functions
constexpr int kMaxBodies = 200;  // bodies within bodies, those of functions among them
constexpr size_t kMaxProblems = 50;
constexpr size_t kMaxNodes = size_t{1} << 20;  // functions expanded: a few hundred bytes can stand for 2^100 nodes

using Names = std::unordered_map<std::string, Value>;
using NameSet = std::unordered_set<std::string>;
const NodeDef kNoNode;

/// Thrown where going on would cost too much; the problems so far are reported.
struct Stop {};

bool default_domain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

/// Where a node stands: its list, and the call or body around it. Written out only for an error.
struct Place {
  const Place* outer = nullptr;
  std::string_view body;  // its name, where a body begins here
  const NodeDef* node = nullptr;
  size_t index = 0;
  i64 opset = 0;

  std::string text() const {
    std::string s = outer ? outer->text() : "";
    if (!node) return s + "body '" + std::string(body) + "', ";
    return s + "node " + std::to_string(index) + (node->name.empty() ? "" : " '" + node->name + "'") + " (" +
           (default_domain(node->domain) ? "" : node->domain + ".") + node->op_type + " of opset " +
           std::to_string(opset) + "): ";
  }
};

class Importer : BodyImporter {
 public:
  Importer(const ModelDef& model, const ImportOptions& options) : model_(model), options_(options) {
    for (const FunctionDef& f : model.functions) functions_.emplace(std::tuple(f.domain, f.name, f.overload), &f);
  }

  NamedGraph run() {
    try {
      return whole();
    } catch (const Stop&) { report(); }
  }

 private:
  NamedGraph whole() {
    Builder builder;
    builder.where = Location();  // the nodes come from no line of a program
    ImportState state{builder, *this, {}, {}, {}};
    state_ = &state;
    i64 opset = opset_of(model_.opsets);
    check_header(opset);
    NamedGraph net;
    Names names;
    inputs(net, names);
    initializers(model_.graph, names);
    nodes(model_.graph.nodes, names, opset, nullptr, 0);
    Values outputs;
    for (const ValueInfo& o : model_.graph.outputs) {
      auto found = names.find(o.name);
      if (found == names.end())
        problem("output '" + o.name + "': expected a value of the graph, got none of that name");
      else if (found->second)
        outputs.push_back(found->second);
      net.outputs.push_back(o.name);
    }
    if (!problems_.empty()) report();
    net.graph = builder.build(outputs);
    net.metadata = model_.metadata;
    return net;
  }

  // ---------------------------------------------------------------- header

  static i64 opset_of(const std::vector<OpsetImport>& opsets) {
    for (const OpsetImport& o : opsets)
      if (default_domain(o.domain)) return o.version;
    return 0;
  }

  void check_header(i64 opset) {
    if (model_.ir_version < 3)
      problem("expected IR version 3 or later, got " + std::to_string(model_.ir_version) + "; convert the model");
    if (opset < kOldestOpset || opset > kNewestOpset)
      problem("expected an opset from " + std::to_string(kOldestOpset) + " to " + std::to_string(kNewestOpset) +
              ", got " + std::to_string(opset) + "; convert the model with onnx.version_converter");
    if (model_.graph.sparse_initializers) problem("expected dense initializers, got sparse ones; store them dense");
  }

  // ---------------------------------------------------------------- values

  std::optional<Type> type_of(const ValueInfo& info) {
    std::string who = "input '" + info.name + "': ";
    if (info.type.kind != TypeInfo::Kind::tensor) {
      problem(who + "expected a tensor, got a sequence, optional, map or sparse tensor");
      return std::nullopt;
    }
    auto dtype = dtype_of(info.type.element);
    if (!dtype) {
      problem(who + "expected an element type Tenon has, got " + std::string(element_name(info.type.element)));
      return std::nullopt;
    }
    auto given = options_.known_inputs.find(info.name);
    if (!info.type.has_shape && given == options_.known_inputs.end()) {
      problem(who + "expected a rank, got a tensor of any rank; state its shape in the model");
      return std::nullopt;
    }
    Shape shape;
    if (!info.type.has_shape)
      for (i64 e : given->second.shape) shape.push_back(e);
    bool fix = options_.fix_sizes && given != options_.known_inputs.end() &&
               given->second.shape.size() == info.type.shape.size();
    for (size_t i = 0; i < info.type.shape.size(); ++i) {
      const auto& e = info.type.shape[i];
      if (e.kind != TypeInfo::Extent::Kind::value) {
        shape.push_back(size_of(info, i, fix ? std::optional(given->second.shape[i]) : std::nullopt));
        continue;
      }
      if (e.value < 0 || !Dim::holds(e.value)) {
        problem(who + "expected extents from 0 to 2^62 - 1, got " + std::to_string(e.value));
        return std::nullopt;
      }
      shape.push_back(e.value);
    }
    return Type::tensor(*dtype, shape);
  }

  /// The size of an axis the model has no number for: a symbol, or what it is fixed to.
  Dim size_of(const ValueInfo& info, size_t axis, std::optional<i64> found) {
    const std::string& name = info.type.shape[axis].name;
    // Exporters write ? or -1 for a size that nobody knows: two of them need not be equal. A name has a letter, of
    // whatever alphabet.
    bool named = std::any_of(name.begin(), name.end(), [](unsigned char ch) { return ch >= 0x80 || std::isalpha(ch); });
    std::string full = named ? name : info.name + "_" + std::to_string(axis);
    std::string symbol = symbol_name(full);
    auto fixed = options_.sizes.find(symbol);
    if (fixed != options_.sizes.end()) return fixed->second;
    if (!found) return Dim::symbol(symbol);
    i64 first = sizes_.emplace(symbol, *found).first->second;
    if (first != *found)
      problem("input '" + info.name + "': expected size '" + symbol + "' to be " + std::to_string(first) +
              ", as another input has it, got " + std::to_string(*found));
    return first;
  }

  /// A word our texts can hold, its own for each name.
  std::string symbol_name(const std::string& name) {
    std::string r;
    for (char ch : name)
      r += (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ? ch : '_';
    if (r.empty() || (r[0] >= '0' && r[0] <= '9')) r.insert(r.begin(), 'n');
    if (r == "min" || r == "max" || r == "r" || r == "l") r += "_";
    while (symbols_.emplace(r, name).first->second != name) r += "_";
    return r;
  }

  void inputs(NamedGraph& net, Names& names) {
    NameSet initialized;
    for (const TensorValue& t : model_.graph.initializers)
      if (!options_.known_inputs.contains(t.name)) initialized.insert(t.name);
    for (const ValueInfo& i : model_.graph.inputs) {
      if (initialized.contains(i.name)) continue;  // a default that is never overridden: a weight
      auto type = type_of(i);
      Value v;
      if (type) v = state_->builder.input(*type);
      if (!names.emplace(i.name, v).second) problem("input '" + i.name + "': expected each name once, got it twice");
      net.inputs.push_back(i.name);
      if (auto given = options_.known_inputs.find(i.name);
          v && given != options_.known_inputs.end() && given->second.dtype == type->dtype())
        state_->given.emplace(v.id, given->second);
    }
  }

  void initializers(const GraphDef& graph, Names& names) {
    for (const TensorValue& t : graph.initializers) {
      if (options_.known_inputs.contains(t.name) && names.contains(t.name)) continue;  // the input is given
      Value v;
      try {
        TensorValue whole = t;
        if (!t.external.empty()) whole.raw = read_external(t, options_.folder);
        v = state_->builder.emit1(op("constant"), {}, {{"value", array_of(whole)}, {"name", t.name}});
      } catch (const Error& e) { problem(e.what()); }
      if (!names.emplace(t.name, v).second)
        problem("initializer '" + t.name + "': expected each name once, got it twice");
    }
  }

  // ---------------------------------------------------------------- nodes

  void count(size_t nodes) {
    count_ += nodes;
    if (count_ <= kMaxNodes) return;
    problem("expected at most " + std::to_string(kMaxNodes) +
            " nodes with all functions expanded, got more; the functions call one another too often");
    throw Stop();
  }

  void nodes(const std::vector<NodeDef>& list, Names& names, i64 opset, const Place* outer, int depth) {
    count(list.size());
    const Names* outside = std::exchange(names_, &names);
    int outside_depth = std::exchange(depth_, depth);
    i64 outside_opset = std::exchange(opset_, opset);
    for (size_t i = 0; i < list.size(); ++i) {
      const NodeDef& n = list[i];
      Place at{outer, {}, &n, i, opset};
      const Place* outside_place = std::exchange(place_, &at);
      Values results;
      size_t before = problems_.size();
      try {
        if (auto in = operands(n, names)) {
          results = convert(n, *in, opset, depth);
          if (problems_.size() == before) expect_made(n, results);
        }
      } catch (const Error& e) { problem(at.text() + e.what()); }
      place_ = outside_place;
      results.resize(std::max(results.size(), n.outputs.size()));
      for (size_t k = 0; k < n.outputs.size(); ++k) {
        if (n.outputs[k].empty()) continue;
        if (!names.emplace(n.outputs[k], results[k]).second)
          problem(at.text() + "expected each value to be made once, got '" + n.outputs[k] + "' twice");
      }
    }
    names_ = outside;
    depth_ = outside_depth;
    opset_ = outside_opset;
  }

  /// Nothing when an operand is missing because of an earlier problem.
  std::optional<Values> operands(const NodeDef& n, const Names& names) {
    Values r;
    for (const std::string& name : n.inputs) {
      if (name.empty()) {
        r.push_back({});
        continue;
      }
      auto found = names.find(name);
      if (found == names.end())
        fail(n.op_type, "expected input '" + name +
                            "' to be made by an earlier node, got no such value; the graph is cyclic or not sorted");
      if (!found->second) return std::nullopt;
      r.push_back(found->second);
    }
    return r;
  }

  Values convert(const NodeDef& n, const Values& in, i64 opset, int depth) {
    if (const FunctionDef* f = function_of(n)) return expand(*f, n, in, depth);
    Converter converter = default_domain(n.domain) ? find_converter(n.op_type, opset) : nullptr;
    if (!converter) {
      if (const OpDef* ours = find_op(n.op_type); ours && !default_domain(n.domain)) return own_op(*ours, n, in);
      fail(n.op_type, "expected an operator Tenon imports, got " + (n.domain.empty() ? "" : n.domain + ".") +
                          n.op_type + "; give a plugin that has it, or a model-local function");
    }
    Call call(*state_, n, opset, in);
    return converter(call);
  }

  /// Each output that has a name is there: what comes after may count on it where no problem was found.
  static void expect_made(const NodeDef& n, const Values& results) {
    for (size_t k = 0; k < n.outputs.size(); ++k) {
      if (n.outputs[k].empty() || (k < results.size() && results[k])) continue;
      if (k < results.size()) fail(n.op_type, "expected a value for output '" + n.outputs[k] + "', got none");
      fail(n.op_type,
           "expected at most " + std::to_string(results.size()) + " outputs, got " + std::to_string(n.outputs.size()));
    }
  }

  /// An op of ours (a plugin's, say) written under our domain: attributes by their names.
  Values own_op(const OpDef& ours, const NodeDef& n, const Values& in) {
    if (is_local(ours))
      fail(n.op_type, "expected an op that a file can hold, got one that is a function of the process that wrote it");
    for (size_t i = 0; i < in.size(); ++i)
      if (!in[i]) fail(n.op_type, "expected input " + std::to_string(i) + ", got none; give it");
    std::vector<NamedAttr> attrs;
    for (const Attribute& a : n.attributes) {
      const AttrSpec* spec = nullptr;
      for (const AttrSpec& s : ours.signature.attrs)
        if (s.name == a.name) spec = &s;
      if (!spec) fail(n.op_type, "expected no attribute '" + a.name + "'; the op has none of that name");
      switch (spec->kind) {
        case AttrKind::boolean: attrs.emplace_back(a.name, a.i != 0); break;
        case AttrKind::integer: attrs.emplace_back(a.name, a.i); break;
        case AttrKind::floating: attrs.emplace_back(a.name, static_cast<double>(a.f)); break;
        case AttrKind::string: attrs.emplace_back(a.name, a.s); break;
        case AttrKind::integers: attrs.emplace_back(a.name, a.ints); break;
        case AttrKind::floats: attrs.emplace_back(a.name, std::vector<double>(a.floats.begin(), a.floats.end())); break;
        case AttrKind::dims:
          for (i64 v : a.ints)
            if (!Dim::holds(v))
              fail(n.op_type, "expected sizes within 63 bits in attribute '" + a.name + "', got " + std::to_string(v));
          attrs.emplace_back(a.name, Shape(a.ints.begin(), a.ints.end()));
          break;
        case AttrKind::dtype: attrs.emplace_back(a.name, dtype_from_name(a.s)); break;
        case AttrKind::array:
          if (a.tensors.empty()) fail(n.op_type, "expected a tensor in attribute '" + a.name + "'");
          attrs.emplace_back(a.name, array_of(a.tensors[0]));
          break;
        case AttrKind::graph: fail(n.op_type, "expected no graph attribute '" + a.name + "' in a file");
      }
    }
    return state_->builder.emit(ours, in, Attrs(std::move(attrs)));
  }

  // ---------------------------------------------------------------- functions

  const FunctionDef* function_of(const NodeDef& n) const {
    auto found = functions_.find(std::tie(n.domain, n.op_type, n.overload));
    return found == functions_.end() ? nullptr : found->second;
  }

  Values expand(const FunctionDef& f, const NodeDef& call, const Values& in, int depth) {
    if (depth >= kMaxCalls)
      fail(call.op_type,
           "expected functions nested at most " + std::to_string(kMaxCalls) + " deep; the function calls itself");
    if (in.size() > f.inputs.size())
      fail(call.op_type,
           "expected at most " + std::to_string(f.inputs.size()) + " inputs, got " + std::to_string(in.size()));
    Names names;
    NameSet absent;  // of this call: another function may make a value of that name
    for (size_t i = 0; i < f.inputs.size(); ++i) {
      Value v = i < in.size() ? in[i] : Value{};
      if (v)
        names.emplace(f.inputs[i], v);
      else
        absent.insert(f.inputs[i]);
    }
    std::vector<NodeDef> body = f.nodes;
    fit(body, call, f, absent);
    nodes(body, names, opset_of(f.opsets), place_, depth + 1);
    Values r;
    for (const std::string& o : f.outputs) {
      auto found = names.find(o);
      r.push_back(found == names.end() ? Value{} : found->second);
    }
    return r;
  }

  /// Gives the nodes of a function's body, sub-graphs of it included, the attributes of a call, and takes away inputs
  /// that it leaves out.
  void fit(std::vector<NodeDef>& body, const NodeDef& call, const FunctionDef& f, const NameSet& absent) {
    for (NodeDef& n : body) {
      for (std::string& input : n.inputs)
        if (absent.contains(input)) input.clear();
      std::erase_if(n.attributes, [&](Attribute& a) {
        if (!a.reference.empty()) return !resolve(a, call, f);  // to what is the caller's, graphs too
        for (auto& g : a.graphs) {
          count(g->nodes.size());
          g = std::make_shared<GraphDef>(*g);
          NameSet outside = absent;
          for (const std::string& name : own_names(*g)) outside.erase(name);
          fit(g->nodes, call, f, outside);
        }
        return false;
      });
    }
  }

  /// Replaces a reference by the call's attribute or the function's default; false when there is neither.
  static bool resolve(Attribute& a, const NodeDef& call, const FunctionDef& f) {
    for (const auto* list : {&call.attributes, &f.defaults})
      for (const Attribute& given : *list)
        if (given.name == a.reference) {
          std::string name = a.name;
          a = given;
          a.name = name;
          a.reference.clear();
          return true;
        }
    return false;
  }

  // ---------------------------------------------------------------- bodies

  /// Names of what a sub-graph makes itself.
  static NameSet own_names(const GraphDef& g) {
    NameSet own;
    for (const ValueInfo& v : g.inputs) own.insert(v.name);
    for (const TensorValue& t : g.initializers) own.insert(t.name);
    for (const NodeDef& n : g.nodes) own.insert(n.outputs.begin(), n.outputs.end());
    return own;
  }

  static void used_names(const GraphDef& g, std::vector<std::string>& used) {
    NameSet own = own_names(g);
    std::vector<std::string> all;
    for (const NodeDef& n : g.nodes) {
      all.insert(all.end(), n.inputs.begin(), n.inputs.end());
      for (const Attribute& a : n.attributes)
        for (const auto& sub : a.graphs) used_names(*sub, all);
    }
    for (const ValueInfo& v : g.outputs) all.push_back(v.name);
    for (std::string& name : all)
      if (!own.contains(name)) used.push_back(std::move(name));
  }

  Strings captured(const GraphDef& body) override {
    std::vector<std::string> used;
    used_names(body, used);
    Strings found;
    NameSet met;
    for (const std::string& name : used)
      if (names_->contains(name) && met.insert(name).second) found.push_back(name);
    return found;
  }

  Value outer(const std::string& name) override {
    auto found = names_->find(name);
    if (found == names_->end() || !found->second)
      fail("onnx", "expected '" + name + "' in the surrounding graph, got a value with an earlier problem");
    return found->second;
  }

  GraphPtr import_body(const GraphDef& body, const Strings& captured_names, std::span<const Type> types) override {
    if (body.inputs.size() != types.size())
      fail("onnx",
           "expected a body of " + std::to_string(types.size()) + " inputs, got " + std::to_string(body.inputs.size()));
    if (bodies_ == kMaxBodies) {
      Place here = *place_;
      here.outer = nullptr;  // which is long
      problem(here.text() + "expected bodies nested at most " + std::to_string(kMaxBodies) +
              " deep, those of functions included, got more");
      throw Stop();
    }
    Builder builder;
    builder.where = Location();
    ImportState inner{builder, *this, {}, {}, {}};
    Names names;
    Call outside(*state_, kNoNode, opset_, {});
    for (const std::string& name : captured_names) {
      Value from = outer(name), v = builder.input(from.type());
      if (auto a = outside.known(from)) inner.given.emplace(v.id, *a);
      if (auto d = outside.find_dims(from)) inner.dims.emplace(v.id, *d);
      names.emplace(name, v);
    }
    for (size_t i = 0; i < types.size(); ++i) names.insert_or_assign(body.inputs[i].name, builder.input(types[i]));
    ImportState* outer_state = std::exchange(state_, &inner);
    i64 opset = opset_;
    initializers(body, names);
    size_t before = problems_.size();
    Place inside{place_, body.name, nullptr, 0, opset};
    ++bodies_;
    nodes(body.nodes, names, opset, &inside, depth_);
    --bodies_;
    Values outputs;
    for (const ValueInfo& o : body.outputs) {
      auto found = names.find(o.name);
      if (found != names.end() && found->second)
        outputs.push_back(found->second);
      else if (problems_.size() == before)
        problem("body '" + body.name + "': expected output '" + o.name + "' among its values, got none of that name");
    }
    state_ = outer_state;
    if (problems_.size() != before) fail("onnx", "the body '" + body.name + "' has problems of its own");
    return builder.build(outputs);
  }

  // ---------------------------------------------------------------- problems

  void problem(std::string text) {
    if (problems_.size() == kMaxProblems) {
      more_ = true;
      throw Stop();
    }
    problems_.push_back(std::move(text));
  }

  [[noreturn]] void report() const {
    std::string text = "[onnx] " + std::to_string(problems_.size()) + (more_ ? " or more" : "") +
                       (problems_.size() == 1 ? " problem" : " problems") + " in model '" + model_.graph.name + "':";
    for (const std::string& p : problems_) text += "\n  " + p;
    throw Error(text);
  }

  const ModelDef& model_;
  const ImportOptions& options_;
  /// By domain, name and overload.
  std::map<std::tuple<std::string, std::string, std::string>, const FunctionDef*, std::less<>> functions_;
  i64 opset_ = 0;
  ImportState* state_ = nullptr;
  const Place* place_ = nullptr;                          // of the node being converted
  int depth_ = 0;                                         // of the calls around it
  int bodies_ = 0;                                        // around it
  const Names* names_ = nullptr;                          // of the graph whose nodes are being converted
  std::unordered_map<std::string, std::string> symbols_;  // the model's names of sizes, by ours
  std::unordered_map<std::string, i64> sizes_;            // fixed by inputs so far
  std::vector<std::string> problems_;
  size_t count_ = 0;  // nodes so far
  bool more_ = false;
};

}  // namespace

NamedGraph import_model(const ModelDef& model, const ImportOptions& options) { return Importer(model, options).run(); }

}  // namespace tn::onnx
