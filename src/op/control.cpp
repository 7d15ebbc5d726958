// Control flow and what holds sub-graphs. Type rules and documents stand here; how such an op is differentiated and
// mapped stands in src/transform.

#include <algorithm>
#include <cstring>

#include "base/stack.h"
#include "ir/function.h"
#include "op/families.h"
#include "op/region_rules.h"

namespace tn {

namespace {

using Types = std::span<const Type>;

const Graph& graph(const Attrs& attrs, std::string_view name) { return *attrs.get<GraphPtr>(name); }

void check_inputs(std::string_view op_name, std::string_view graph_name, Types inputs, Types operands) {
  if (inputs.size() != operands.size())
    fail(op_name, "expected " + std::to_string(inputs.size()) + " operands for '" + std::string(graph_name) +
                      "', got " + std::to_string(operands.size()));
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i] != operands[i])
      fail(op_name, "expected operand " + std::to_string(i) + " of '" + std::string(graph_name) + "' to be " +
                        to_string(inputs[i]) + ", got " + to_string(operands[i]));
}

/// A size found inside a body differs from step to step, so it cannot be part of what the loop carries or stacks.
void check_no_fresh_sizes(std::string_view op_name, const Graph& body) {
  std::vector<Dim> fresh;
  for (const Node& n : body.nodes())
    if (const Attr* a = n.attrs.find("fresh"))
      if (const auto* dims = std::get_if<Shape>(a)) fresh.insert(fresh.end(), dims->begin(), dims->end());
  if (fresh.empty()) return;
  for (Type t : body.output_types()) {
    if (!t.is_tensor()) continue;
    for (Dim d : t.shape())
      for (Dim s : symbols_of(d))
        if (std::find(fresh.begin(), fresh.end(), s) != fresh.end())
          fail(op_name, "expected results of a size known before the loop, got " + to_string(t) +
                            "; reduce or pad it inside the body");
  }
}

Type stacked(Dim n, Type t) {
  Shape shape{n};
  shape.insert(shape.end(), t.shape().begin(), t.shape().end());
  return t.with(shape);
}

// ---------------------------------------------------------------- types

std::vector<Type> call_type(Types x, const Attrs& attrs) {
  const Graph& body = graph(attrs, "body");
  check_inputs("call", "body", body.input_types(), x);
  return body.output_types();
}

/// By lane: the types of one lane, each led by the axes of the lanes.
std::vector<Type> with_lanes(std::span<const Dim> lanes, std::vector<Type> types) {
  for (Type& t : types) {
    if (lanes.empty()) break;
    Shape shape(lanes.begin(), lanes.end());
    shape.insert(shape.end(), t.shape().begin(), t.shape().end());
    t = t.with(shape);
  }
  return types;
}

std::vector<Type> inputs_of(const Graph& g) { return {g.input_types().begin(), g.input_types().end()}; }

std::vector<Type> cond_type(Types x, const Attrs& attrs) {
  const Graph &then = graph(attrs, "then"), &otherwise = graph(attrs, "else");
  auto lanes = x[0].shape();
  check_inputs("cond", "then", with_lanes(lanes, inputs_of(then)), x.subspan(1));
  check_inputs("cond", "else", with_lanes(lanes, inputs_of(otherwise)), x.subspan(1));
  auto a = then.output_types(), b = otherwise.output_types();
  if (a.size() != b.size())
    fail("cond", "expected branches with equally many results, got " + std::to_string(a.size()) + " and " +
                     std::to_string(b.size()));
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i])
      fail("cond", "expected result " + std::to_string(i) + " to be of one type in both branches, got " +
                       to_string(a[i]) + " and " + to_string(b[i]));
  return with_lanes(lanes, std::move(a));
}

u32 count_attr(std::string_view op_name, const Attrs& attrs, std::string_view name, size_t most) {
  i64 n = attrs.get<i64>(name);
  if (n < 0 || static_cast<size_t>(n) > most)
    fail(op_name,
         "expected '" + std::string(name) + "' from 0 to " + std::to_string(most) + ", got " + std::to_string(n));
  return static_cast<u32>(n);
}

void check_carry(std::string_view op_name, Types carry, Types results) {
  for (size_t i = 0; i < carry.size(); ++i)
    if (carry[i] != results[i])
      fail(op_name, "expected carry " + std::to_string(i) + " to keep its type, got " + to_string(carry[i]) +
                        " before and " + to_string(results[i]) + " after a step");
}

std::vector<Type> scan_type(Types x, const Attrs& attrs) {
  const Graph& body = graph(attrs, "body");
  u32 consts = count_attr("scan", attrs, "consts", x.size());
  u32 carry = count_attr("scan", attrs, "carry", x.size() - consts);
  const Shape& length = attrs.get<Shape>("length");
  if (length.size() != 1) fail("scan", "expected one length, got " + std::to_string(length.size()));
  std::vector<Type> inputs(body.input_types().begin(), body.input_types().end());
  for (size_t i = consts + carry; i < inputs.size(); ++i) inputs[i] = stacked(length[0], inputs[i]);
  check_inputs("scan", "body", inputs, x);
  auto results = body.output_types();
  if (results.size() < carry)
    fail("scan", "expected the body to return " + std::to_string(carry) + " carries, got " +
                     std::to_string(results.size()) + " results");
  check_carry("scan", x.subspan(consts, carry), results);
  check_no_fresh_sizes("scan", body);
  for (size_t i = carry; i < results.size(); ++i) results[i] = stacked(length[0], results[i]);
  return results;
}

std::vector<Type> while_type(Types x, const Attrs& attrs) {
  const Graph &condition = graph(attrs, "cond"), &body = graph(attrs, "body");
  u32 consts = count_attr("while", attrs, "consts", x.size());
  const Shape& lanes = attrs.get<Shape>("lanes");
  check_inputs("while", "cond", with_lanes(lanes, inputs_of(condition)), x);
  check_inputs("while", "body", with_lanes(lanes, inputs_of(body)), x);
  auto test = condition.output_types(), results = body.output_types();
  if (test.size() != 1 || test[0] != Type::tensor(DType::boolean, {}))
    fail("while", "expected the condition to return one bool[], got " +
                      (test.empty() ? std::string("nothing") : to_string(test[0])) + "; reduce it with all or any");
  if (results.size() != x.size() - consts)
    fail("while", "expected the body to return " + std::to_string(x.size() - consts) + " carries, got " +
                      std::to_string(results.size()));
  results = with_lanes(lanes, std::move(results));
  check_carry("while", x.subspan(consts), results);
  check_no_fresh_sizes("while", body);
  return results;
}

std::vector<Type> same_types(Types x, const Attrs&) { return {x.begin(), x.end()}; }

std::vector<Type> custom_jvp_type(Types x, const Attrs& attrs) {
  const Graph &primal = graph(attrs, "primal"), &tangent = graph(attrs, "tangent");
  check_inputs("custom_jvp", "primal", primal.input_types(), x);
  std::vector<Type> in(x.begin(), x.end()), out = primal.output_types();
  std::copy_if(x.begin(), x.end(), std::back_inserter(in), differentiable);
  check_inputs("custom_jvp", "tangent", tangent.input_types(), in);
  for (size_t i = 0, n = out.size(); i < n; ++i)
    if (differentiable(out[i])) out.push_back(out[i]);
  if (tangent.output_types() != out)
    fail("custom_jvp", "expected the rule to return the results, then a tangent of each floating one, of their types");
  return primal.output_types();
}

std::vector<Type> custom_vjp_type(Types x, const Attrs& attrs) {
  const Graph &forward = graph(attrs, "forward"), &backward = graph(attrs, "backward");
  check_inputs("custom_vjp", "forward", forward.input_types(), x);
  auto out = forward.output_types();
  u32 n = count_attr("custom_vjp", attrs, "results", out.size());
  std::vector<Type> in(out.begin() + n, out.end()), cotangents;
  std::copy_if(out.begin(), out.begin() + n, std::back_inserter(in), differentiable);
  check_inputs("custom_vjp", "backward", backward.input_types(), in);
  std::copy_if(x.begin(), x.end(), std::back_inserter(cotangents), differentiable);
  if (backward.output_types() != cotangents)
    fail("custom_vjp", "expected backward to return a cotangent of each floating operand, of its type");
  out.resize(n);
  return out;
}

std::vector<Type> custom_vjp_tangent_type(Types x, const Attrs& attrs) {
  const Graph& backward = graph(attrs, "backward");
  u32 n = count_attr("custom_vjp_tangent", attrs, "residuals", std::min<size_t>(x.size(), backward.input_count()));
  check_inputs("custom_vjp_tangent", "residuals", backward.input_types().first(n), x.first(n));
  check_inputs("custom_vjp_tangent", "tangents", backward.output_types(), x.subspan(n));
  auto results = backward.input_types().subspan(n);
  return {results.begin(), results.end()};
}

// ---------------------------------------------------------------- expansions

Values expand_custom_jvp(Builder& b, ValueSpan x, const Attrs& attrs) {
  return inline_graph(b, graph(attrs, "primal"), x);
}

Values expand_custom_vjp(Builder& b, ValueSpan x, const Attrs& attrs) {
  Values out = inline_graph(b, graph(attrs, "forward"), x);
  out.resize(static_cast<size_t>(attrs.get<i64>("results")));
  return out;
}

Values expand_custom_vjp_tangent(Builder& b, ValueSpan, const Attrs&) {
  fail("custom_vjp", "expected reverse mode, got forward mode, for which it has no rule; give custom_jvp", b.where);
}

// ---------------------------------------------------------------- samples

SampleOperand floats(std::vector<i64> shape) { return {DType::f64, std::move(shape), -2, 2, {}}; }
SampleOperand flags(std::vector<i64> shape, std::vector<double> values) {
  return {DType::boolean, std::move(shape), 0, 2, std::move(values)};
}

GraphPtr sine() {
  return parse_graph(R"(graph(%0: f64[3]) {
    %1: f64[3] = sin(%0)
    %2: f64[3] = mul(%1, %0)
    return %2 })");
}
GraphPtr square(const std::string& shape) {
  return parse_graph("graph(%0: f64" + shape + ") { %1: f64" + shape + " = mul(%0, %0) return %1 }");
}
GraphPtr identity(const std::string& shape) { return parse_graph("graph(%0: f64" + shape + ") { return %0 }"); }
/// carry * const + sin(x), and the carry as it came.
GraphPtr scan_body() {
  return parse_graph(R"(graph(%0: f64[3], %1: f64[3], %2: f64[3]) {
    %3: f64[3] = mul(%1, %0)
    %4: f64[3] = sin(%2)
    %5: f64[3] = add(%3, %4)
    return %5, %1 })");
}
/// Halves a counter and moves the rest along it.
GraphPtr while_body() {
  return parse_graph(R"(graph(%0: f64[], %1: f64[], %2: f64[]) {
    %3: f64[] = add(%1, %0)
    %4: f64[] = mul(%2, %0)
    return %3, %4 })");
}
GraphPtr below_four() {
  return parse_graph(R"(graph(%0: f64[], %1: f64[], %2: f64[]) {
    %3: f64[] = constant() {value=array f64[] {4}}
    %4: bool[] = less(%1, %3)
    return %4 })");
}

std::vector<Sample> call_samples() {
  return {{{floats({3})}, {{"body", sine()}}, {}, 0},
          {{floats({3})}, {{"body", sine()}, {"remat", true}}, {}, 0},
          {{floats({2})}, {{"body", sine()}}, "expected operand 0 of 'body' to be f64[3], got f64[2]", 0}};
}

std::vector<Sample> cond_samples() {
  Attrs one{{"then", square("[3]")}, {"else", identity("[3]")}};
  return {{{flags({}, {1}), floats({3})}, one, {}, 0},
          {{flags({}, {0}), floats({3})}, one, {}, 0},
          {{flags({2}, {1, 0}), floats({2, 3})}, one, {}, 0},
          {{flags({2}, {1, 0}), floats({3})}, one, "expected operand 0 of 'then' to be f64[2, 3], got f64[3]", 0},
          {{floats({}), floats({3})}, one, "expected a bool tensor for operand 'predicate', got f64[]", 0}};
}

Attrs scan_sample(i64 length, bool reverse) {
  return {{"body", scan_body()},
          {"consts", i64{1}},
          {"carry", i64{1}},
          {"length", Shape{Dim(length)}},
          {"reverse", reverse}};
}

std::vector<Sample> scan_samples() {
  return {{{floats({3}), floats({3}), floats({4, 3})}, scan_sample(4, false), {}, 0},
          {{floats({3}), floats({3}), floats({4, 3})}, scan_sample(4, true), {}, 0},
          {{floats({3}), floats({3}), floats({0, 3})}, scan_sample(0, false), {}, 0},
          {{floats({3}), floats({3}), floats({5, 3})}, scan_sample(4, false), "to be f64[4, 3], got f64[5, 3]", 0}};
}

std::vector<Sample> while_samples() {
  SampleOperand step{DType::f64, {}, 0.75, 1.5, {}};
  Attrs bounded{{"cond", below_four()}, {"body", while_body()}, {"consts", i64{1}}, {"bound", i64{9}}};
  return {{{step, floats({}), floats({})}, bounded, {}, 0},
          {{step, floats({})}, bounded, "expected 3 operands for 'cond', got 2", 0}};
}

std::vector<Sample> barrier_samples() { return {{{floats({3}), flags({2}, {1, 0})}, {}, {}, 0}}; }

std::vector<Sample> custom_jvp_samples() {
  GraphPtr tangent = parse_graph(R"(graph(%0: f64[3], %1: f64[3]) {
    %2: f64[3] = mul(%0, %0)
    %3: f64[3] = add(%0, %0)
    %4: f64[3] = mul(%3, %1)
    return %2, %4 })");
  return {{{floats({3})}, {{"primal", square("[3]")}, {"tangent", tangent}}, {}, 0},
          {{floats({3})},
           {{"primal", square("[3]")}, {"tangent", square("[3]")}},
           "expected 1 operands for 'tangent', got 2",
           0}};
}

/// x * x, keeping x; 2 x times the cotangent.
Attrs custom_vjp_sample() {
  GraphPtr forward = parse_graph("graph(%0: f64[3]) { %1: f64[3] = mul(%0, %0) return %1, %0 }");
  GraphPtr backward = parse_graph(R"(graph(%0: f64[3], %1: f64[3]) {
    %2: f64[3] = add(%0, %0)
    %3: f64[3] = mul(%2, %1)
    return %3 })");
  return {{"forward", forward}, {"backward", backward}, {"results", i64{1}}};
}

std::vector<Sample> custom_vjp_samples() {
  return {{{floats({3})}, custom_vjp_sample(), {}, 0},
          {{floats({3})},
           custom_vjp_sample().with("backward", square("[3]")),
           "expected 1 operands for 'backward', got 2",
           0}};
}

std::vector<Sample> custom_vjp_tangent_samples() {
  Attrs attrs{{"backward", custom_vjp_sample().get<GraphPtr>("backward")}, {"residuals", i64{1}}};
  return {{{floats({3}), floats({2})}, attrs, "expected operand 0 of 'tangents' to be f64[3], got f64[2]", 0}};
}

// ---------------------------------------------------------------- invoke

std::vector<Type> invoke_type(Types x, const Attrs& attrs) {
  const FunctionType& f = function_type(attrs.get<i64>("function"));
  if (x.size() != f.inputs.size())
    fail("invoke", "expected " + std::to_string(f.inputs.size()) + " operands for '" + f.name + "', got " +
                       std::to_string(x.size()));
  for (size_t i = 0; i < x.size(); ++i)
    if (x[i] != f.inputs[i])
      fail("invoke", "expected operand " + std::to_string(i) + " of '" + f.name + "' to be " + to_string(f.inputs[i]) +
                         ", got " + to_string(x[i]));
  return f.outputs;
}

/// Each call runs inside the one before it, on the same stack.
constexpr int kMostDeep = 1000;
constexpr std::ptrdiff_t kLeastStack = 192 << 10;

std::vector<Array> invoke_by(GraphRunner runner, std::span<const Array> x, const Attrs& attrs) {
  thread_local int depth = 0;
  i64 id = attrs.get<i64>("function");
  if (depth >= kMostDeep || stack_left() < kLeastStack)
    fail("invoke", "expected calls at most " + std::to_string(kMostDeep) +
                       " deep that fit this thread's stack, got more of '" + function_type(id).name +
                       "'; does its recursion end? If so, use while_loop");
  struct Deeper {
    Deeper() { ++depth; }
    ~Deeper() { --depth; }
  } deeper;
  return runner(function_body(id), x);
}

void invoke_run(std::span<const Array> x, std::span<Array> results, const Attrs& attrs) {
  std::vector<Array> y = invoke_by(graph_runners().kernels, x, attrs);
  for (size_t i = 0; i < y.size(); ++i)
    if (y[i].nbytes()) std::memcpy(results[i].bytes_begin(), y[i].bytes_begin(), y[i].nbytes());
}

std::vector<Array> invoke_ref(std::span<const Array> x, const Attrs& attrs, Types, const DimEnv&) {
  return invoke_by(graph_runners().oracle, x, attrs);
}

std::vector<Sample> invoke_samples() {
  static const i64 kCube = [] {
    GraphPtr body = parse_graph(R"(graph(%0: f64[]) {
      %1: f64[] = mul(%0, %0)
      %2: f64[] = mul(%1, %0)
      return %2 })");
    Type t = Type::tensor(DType::f64, {});
    i64 id = declare_function({"cube", {t}, {t}});
    define_function(id, body);
    return id;
  }();
  Attrs cube{{"function", kCube}};
  return {{{floats({})}, cube, {}, 0},
          {{floats({3})}, cube, "expected operand 0 of 'cube' to be f64[], got f64[3]", 0},
          {{floats({3})}, {{"function", i64{-1}}}, "expected the number of a function of this process, got -1", 0}};
}

// ---------------------------------------------------------------- table

Signature with_graphs(std::string_view operand, std::vector<AttrSpec> attrs) {
  return {{{operand, Operands::any, true}}, std::move(attrs), false};
}

}  // namespace

std::span<const OpDef> control_ops() {
  static const OpDef kOps[] = {
      {"call", 1,
       "The results of `body` for these operands. With `remat` (a checkpoint) reverse mode keeps the operands and "
       "computes the body again.",
       with_graphs("args", {{"body", AttrKind::graph, {}}, {"remat", AttrKind::boolean, false}}), call_type,
       kCallRegion, kCallAxes, Structured{Structured::Kind::call}, RefNone{}, Pure{}, call_samples},
      {"invoke", 1,
       "The results of a function of this process, by its number: functions may invoke themselves, at most 1000 deep.",
       with_graphs("args", {{"function", AttrKind::integer, {}}}), invoke_type, kInvokeRegion, kInvokeAxes,
       Native{invoke_run, true}, RefArrays{invoke_ref}, Pure{}, invoke_samples},
      {"cond",
       1,
       "The results of `then` where the predicate holds, else of `else`; the other branch does not run. A predicate "
       "with axes chooses by lane: its axes lead every operand and result, while the branches are graphs of one lane.",
       {{{"predicate", Operands::boolean}, {"args", Operands::any, true}},
        {{"then", AttrKind::graph, {}}, {"else", AttrKind::graph, {}}},
        false},
       cond_type,
       kCondRegion,
       kCondAxes,
       Structured{Structured::Kind::cond},
       RefNone{},
       Pure{},
       cond_samples},
      {"scan", 1,
       "Runs `body` (consts..., carry..., a slice of each xs) -> (carry..., a slice of each ys) `length` times along "
       "the "
       "leading axis of the xs, from its end when `reverse`: the last carry and the stacked ys, each at the place of "
       "its "
       "xs. Length 0 gives the carry as it came.",
       with_graphs("args", {{"body", AttrKind::graph, {}},
                            {"consts", AttrKind::integer, {}},
                            {"carry", AttrKind::integer, {}},
                            {"length", AttrKind::dims, {}},
                            {"reverse", AttrKind::boolean, false}}),
       scan_type, kScanRegion, kScanAxes, Structured{Structured::Kind::scan}, RefNone{}, Pure{}, scan_samples},
      {"while", 1,
       "Runs `body` (consts..., carry...) -> (carry...) as long as `cond` of the same holds. A `bound` on the number "
       "of "
       "steps makes reverse mode possible; needing more is an error. -1: no bound. A condition with axes holds by "
       "lane: "
       "its axes lead every operand, the loop runs until no lane wants more, and a lane that is done keeps its bits.",
       with_graphs("args", {{"cond", AttrKind::graph, {}},
                            {"body", AttrKind::graph, {}},
                            {"consts", AttrKind::integer, {}},
                            {"bound", AttrKind::integer, i64{-1}},
                            {"lanes", AttrKind::dims, Shape{}}}),
       while_type, kWhileRegion, kWhileAxes, Structured{Structured::Kind::loop}, RefNone{}, Pure{}, while_samples},
      {"barrier", 1, "Its operands, tied: nothing moves across, and none is there before all are.",
       with_graphs("args", {}), same_types, kBarrierRegion, kBarrierAxes, Structured{Structured::Kind::barrier},
       RefNone{}, Pure{}, barrier_samples},
      {"custom_jvp", 1,
       "The results of `primal`, differentiated by `tangent`: (args..., a tangent of each floating one) -> "
       "(results..., "
       "a "
       "tangent of each floating one).",
       with_graphs("args", {{"primal", AttrKind::graph, {}}, {"tangent", AttrKind::graph, {}}}), custom_jvp_type,
       kCustomJvpRegion, kCustomJvpAxes, Expand{expand_custom_jvp}, RefNone{}, Pure{}, custom_jvp_samples},
      {"custom_vjp", 1,
       "The first `results` results of `forward`; the others are residuals for `backward`: (residuals..., a cotangent "
       "of "
       "each floating result) -> (a cotangent of each floating operand). Reverse mode only.",
       with_graphs(
           "args",
           {{"forward", AttrKind::graph, {}}, {"backward", AttrKind::graph, {}}, {"results", AttrKind::integer, {}}}),
       custom_vjp_type, kCustomVjpRegion, kCustomVjpAxes, Expand{expand_custom_vjp}, RefNone{}, Pure{},
       custom_vjp_samples},
      {"custom_vjp_tangent", 1,
       "The tangent of a custom_vjp from residuals and tangents: it exists to be transposed, into a call of "
       "`backward`.",
       with_graphs("args", {{"backward", AttrKind::graph, {}}, {"residuals", AttrKind::integer, {}}}),
       custom_vjp_tangent_type, kCustomVjpTangentRegion, kCustomVjpTangentAxes, Expand{expand_custom_vjp_tangent},
       RefNone{}, Pure{}, custom_vjp_tangent_samples},
  };
  return kOps;
}

}  // namespace tn
