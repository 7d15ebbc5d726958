// Every op through files: a plan of it stored and mapped again, and its ONNX form read back by our importer, from the
// samples of its entry. The answers are those of the graph itself.
#include <cstring>

#include "../onnx/control_graphs.h"
#include "../op/each_op.h"
#include "../op/harness.h"
#include "engine/plan_state.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "runtime/execute.h"
#include "tenon/engine.h"
#include "tensor/evaluate.h"
#include "transform/transform.h"

namespace tn::test {
namespace {

constexpr size_t kSamples = 6;  // of each op, spread over its entry

std::vector<std::string> numbered(const char* stem, size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back(stem + std::to_string(i));
  return names;
}

NamedGraph network_of(const OpDef& op, const Sample& s) {
  GraphPtr g = call_graph(op, s);
  return {g, numbered("in", g->input_count()), numbered("out", g->outputs().size()), {}};
}

template <class F>
void expect_refused(const OpDef& op, F store) {
  try {
    store();
    ADD_FAILURE() << "stored";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("got " + std::string(op.name) + ", a function of this process"),
              std::string::npos)
        << e.what();
  }
}

class RoundTrip : public testing::TestWithParam<const OpDef*> {};

TEST_P(RoundTrip, ThroughAPlanFile) {
  const OpDef& op = *GetParam();
  for (const Sample& s : some_samples(op, kSamples)) {
    SCOPED_TRACE(describe(op, s));
    NamedGraph net = network_of(op, s);
    if (is_local(op)) {
      expect_refused(op, [&] { engine::stored_plan(*engine::build_plan(net, {})); });
      continue;
    }
    std::string bytes;
    for (const std::string& piece : engine::stored_plan(*engine::build_plan(net, {}))) bytes += piece;
    StoragePtr copy = Storage::allocate(std::max<size_t>(bytes.size(), 1));
    std::memcpy(copy->data(), bytes.data(), bytes.size());
    engine::Plan plan(
        engine::open_plan({reinterpret_cast<const char*>(copy->data()), bytes.size()}, copy, "test", false));
    std::vector<Array> x = make_operands(s), want = execute(net.graph, x);
    std::vector<Tensor> inputs;
    for (const Array& a : x) inputs.push_back(handle(new_value(a, Location::current())));
    std::vector<Tensor> got = engine::Context(plan).run(inputs);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_TRUE(same_numbers(value_of(node_of(got[i], "test", Location()), Location()), want[i])) << "result " << i;
    EXPECT_EQ(to_string(*plan.state().network().graph), to_string(*net.graph));
  }
}

TEST_P(RoundTrip, ThroughAnOnnxFile) {
  const OpDef& op = *GetParam();
  for (const Sample& s : some_samples(op, kSamples)) {
    SCOPED_TRACE(describe(op, s));
    NamedGraph net = network_of(op, s);
    if (is_local(op)) {
      expect_refused(op, [&] { onnx::export_model(net); });
      continue;
    }
    NamedGraph back = onnx::import_model(onnx::decode_model(onnx::encode_model(onnx::export_model(net))));
    EXPECT_EQ(back.inputs, net.inputs);
    EXPECT_EQ(back.outputs, net.outputs);
    std::vector<Array> x = make_operands(s), want = execute(net.graph, x), got = execute(back.graph, x);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_EQ(difference_of(got[i], want[i], tolerance_of(op, s, want[i].dtype)), "") << "result " << i;
  }
}

// ---------------------------------------------------------------- ONNX's words for our ops

TEST(WordsOfOnnx, OpsWithoutThemSayWhy) {
  for (const auto& [name, why] : onnx::own_ops()) EXPECT_NE(why, "") << name;
}

TEST(WordsOfOnnx, PlacesAndOrdersHaveThem) {
  for (const char* name : {"barrier", "dynamic_slice", "dynamic_update_slice", "scatter", "sort"})
    for (const Sample& s : some_samples(op(name), kSamples)) {
      SCOPED_TRACE(describe(op(name), s));
      for (const onnx::NodeDef& n : onnx::export_model(network_of(op(name), s)).graph.nodes)
        EXPECT_EQ(n.domain, "") << n.op_type;
    }
}

/// A window at places of data comes back as one, of sizes that are known when it runs too.
TEST(WordsOfOnnx, WindowsComeBack) {
  GraphPtr g = parse_graph(R"(graph(%0: f32[n, 4], %1: i64[2]) {
  %2: f32[n, 3] = dynamic_slice(%0, %1) {sizes=<n, 3>}
  return %2
})");
  NamedGraph back = onnx::import_model(onnx::export_model({g, {"x", "starts"}, {"y"}, {}}));
  EXPECT_NE(to_string(*back.graph).find("dynamic_slice("), std::string::npos) << to_string(*back.graph);
  EXPECT_EQ(back.graph->output_types()[0], g->output_types()[0]);
  Array x = Array::empty(DType::f32, {2, 4}), starts = Array::empty(DType::i64, {2});
  for (i64 i = 0; i < 8; ++i) x.set(i, static_cast<double>(i));
  starts.set_int(0, 7), starts.set_int(1, 1);
  EXPECT_EQ(execute(back.graph, std::vector<Array>{x, starts})[0].get(0), 1);
}

// ---------------------------------------------------------------- control flow in files

TEST(RoundTripOfControl, ThroughFiles) {
  for (const ControlText& t : kControl)
    for (bool taken : {false, true}) {
      SCOPED_TRACE(t.name);
      GraphPtr g = parse_graph(t.text);
      NamedGraph net{g, numbered("in", g->input_count()), numbered("out", g->outputs().size()), {}};
      NamedGraph back = onnx::import_model(onnx::decode_model(onnx::encode_model(onnx::export_model(net))));
      std::vector<Array> x = inputs_of(t, *g, taken);
      std::vector<Array> want = execute(g, x), got = execute(back.graph, x);
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_numbers(got[i], want[i])) << "result " << i;
    }
}

/// Sizes that only the run knows: what is written of them is read back.
TEST(RoundTripOfSizes, ThroughFiles) {
  Dim n = Dim::symbol("n"), m = Dim::symbol("m");
  Builder places;
  Value x = places.input(Type::tensor(DType::f32, {m, 3})), at = places.input(Type::tensor(DType::i64, {n}));
  Value rows = places.input(Type::tensor(DType::f32, {n, 3}));
  Attrs set{{"axis", i64{0}}, {"mode", std::string("set")}};
  GraphPtr scattered = places.build(std::vector{places.emit(op("scatter"), Values{x, at, rows}, set)[0]});
  Builder last;
  Value y = last.input(Type::tensor(DType::f32, {n, 3}));
  Attrs row{{"starts", Shape{max(n - Dim(1), 0), Dim(0)}},
            {"limits", Shape{max(n - Dim(1), 0) + Dim(1), Dim(3)}},
            {"strides", std::vector<i64>{1, 1}}};
  Value one = last.emit(op("reshape"), last.emit(op("slice"), Values{y}, row), {{"shape", Shape{Dim(3)}}})[0];
  GraphPtr sliced = last.build(std::vector{one});
  for (const GraphPtr& g : {scattered, sliced}) {
    NamedGraph net{g, numbered("in", g->input_count()), {"out"}, {}};
    NamedGraph back = onnx::import_model(onnx::decode_model(onnx::encode_model(onnx::export_model(net))));
    for (i64 size : {1, 2, 5}) {
      std::vector<Array> in;
      for (Type t : g->input_types()) {
        std::vector<i64> shape;
        for (Dim d : t.shape()) shape.push_back(d == n ? size : d == m ? 4 : d.value());
        Array a = Array::empty(t.dtype(), shape);
        for (i64 i = 0; i < a.size(); ++i) a.set(i, t.dtype() == DType::i64 ? static_cast<double>(i % 3) : 0.5 + i);
        in.push_back(std::move(a));
      }
      Array want = execute(g, in)[0], got = execute(back.graph, in)[0];
      EXPECT_TRUE(same_numbers(got, want)) << size;
    }
  }
}

/// The bound comes back as a trip count, so that the loop has a gradient in reverse again.
TEST(RoundTripOfControl, AWhileKeepsItsBound) {
  GraphPtr g = parse_graph(R"(graph(%0: f32[]) {
  %1: f32[] = while(%0) {body=graph(%0: f32[]) {
    %1: f32[] = add(%0, %0)
    return %1
  }, bound=12, cond=graph(%0: f32[]) {
    %1: f32[] = constant() {value=array f32[] {100.0}}
    %2: bool[] = less(%0, %1)
    return %2
  }, consts=0}
  return %1
})");
  NamedGraph back = onnx::import_model(onnx::export_model({g, {"x"}, {"y"}, {}}));
  GraphPtr gradient = vjp_graph(back.graph, {true});
  std::vector<Array> x{Array::empty(DType::f32, {}), Array::empty(DType::f32, {})};
  x[0].set(0, 3), x[1].set(0, 1);
  std::vector<Array> got = execute(gradient, x);
  EXPECT_EQ(got[0].get(0), 192);
  EXPECT_EQ(got[1].get(0), 64);
}

INSTANTIATE_TEST_SUITE_P(Ops, RoundTrip, each_op(), op_name);

}  // namespace
}  // namespace tn::test
