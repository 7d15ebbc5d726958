// Importing: what is wrong is all said at once, and hostile models get an error, never more.
#include "onnx/import.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <limits>

#include "base/file.h"
#include "models.h"
#include "onnx/export.h"
#include "onnx/tensors.h"
#include "run.h"

namespace tn::onnx {
namespace {

using samples::body;
using samples::control;
using samples::floats;
using samples::info;
using samples::integer;
using samples::integers;
using samples::ints;
using samples::model;
using samples::node;
using samples::shapes;
using samples::tensor;
using samples::text;

std::string error_of(const ModelDef& m, const ImportOptions& options = {}) {
  try {
    import_model(m, options);
  } catch (const Error& e) { return e.what(); }
  return "";
}

void expect_error(const ModelDef& m, std::initializer_list<std::string_view> parts, const ImportOptions& options = {}) {
  std::string text = error_of(m, options);
  for (std::string_view part : parts) EXPECT_NE(text.find(part), text.npos) << "'" << part << "' is not in: " << text;
}

TEST(Import, NamesEveryProblemAtOnce) {
  NodeDef named = node("Softmax", {"a"}, {"b"}, {integer("axis", 7)});
  named.name = "classes";
  ModelDef m = model({node("Relu", {"x"}, {"a"}), named, node("NoSuchOp", {"a"}, {"c"}),
                      node("Reshape", {"a", "shape"}, {"d"}), node("Add", {"b", "x"}, {"y"})},
                     {ints("shape", {1}, {4})});
  expect_error(m,
               {"3 problems in model 'sample'", "node 1 'classes' (Softmax of opset 20)", "expected an axis in [-2, 2)",
                "got 7", "node 2 (NoSuchOp of opset 20)", "give a plugin", "node 3 (Reshape of opset 20)"});
}

TEST(Import, OpsetsFromTheFirstToTheNewest) {
  for (i64 opset = 7; opset <= 27; ++opset) {
    ModelDef m = model({node("Add", {"x", "x"}, {"z"}), node("Relu", {"z"}, {"y"})});
    m.opsets[0].version = opset;
    EXPECT_EQ(error_of(m), "") << opset;
  }
  for (i64 opset : {i64{-1}, i64{0}, i64{28}, i64{1} << 40}) {
    ModelDef m = model({node("Relu", {"x"}, {"y"})});
    m.opsets[0].version = opset;
    expect_error(m, {"expected an opset from 1 to 27, got " + std::to_string(opset), "version_converter"});
  }
}

TEST(Import, SamplesRun) {
  Array x = Array::empty(DType::f32, {2, 3});
  for (i64 i = 0; i < 6; ++i) x.set(i, static_cast<double>(i));
  std::vector<Array> y = execute(import_model(control()).graph, std::vector<Array>{x});
  EXPECT_EQ(y[0].get(5), 40);  // 2 (5 + 3 * 5)
  EXPECT_EQ(import_model(shapes()).graph->output_types()[0].dim(0), Dim(3));
}

ValueInfo named_sizes(const std::string& name, Element element, const Strings& sizes) {
  ValueInfo v = info(name, element, std::vector<i64>(sizes.size(), 0));
  for (size_t i = 0; i < sizes.size(); ++i)
    v.type.shape[i] = {sizes[i].empty() ? TypeInfo::Extent::Kind::unknown : TypeInfo::Extent::Kind::name, 0, sizes[i]};
  return v;
}

/// Names of sizes become words; two names stay two sizes, and one that says nothing is nobody's.
TEST(Import, SizesAreOneWhereTheirNamesAre) {
  ModelDef m = model({node("Relu", {"x"}, {"y"})});
  Strings names{"a b", "a_b", "a b", "?", "?", "", "-1", "\xCE\xBD", "\xD7\x90", "\xCE\xBD"};
  m.graph.inputs = {named_sizes("x", Element::float32, names)};
  auto shape = import_model(m).graph->input_types()[0].shape();
  for (size_t i = 0; i < shape.size(); ++i)
    for (size_t k = i + 1; k < shape.size(); ++k)
      EXPECT_EQ(shape[i] == shape[k], (i == 0 && k == 2) || (i == 7 && k == 9)) << i << " " << k;
}

/// What holds for no size in general may hold for the sizes of one run, or for those that a caller fixes.
TEST(Import, SizesCanBeFixed) {
  ModelDef m = model({node("Add", {"x", "z"}, {"y"})});
  m.graph.inputs = {named_sizes("x", Element::float32, {"n"}), named_sizes("z", Element::float32, {"k"})};
  expect_error(m, {"expected shapes that broadcast, got f32[k] against n"});
  ImportOptions options;
  options.sizes = {{"n", 1}};
  EXPECT_EQ(import_model(m, options).graph->output_types()[0].dim(0), Dim::symbol("k"));
  options.sizes.clear();
  options.fix_sizes = true;
  options.known_inputs = {{"x", Array::zeros(DType::f32, {3})}, {"z", Array::zeros(DType::f32, {1})}};
  EXPECT_EQ(import_model(m, options).graph->output_types()[0].dim(0), Dim(3));
  m.graph.inputs[1] = named_sizes("z", Element::float32, {"n"});
  expect_error(m, {"input 'z': expected size 'n' to be 3, as another input has it, got 1"}, options);
}

/// Sizes have 63 bits: an end beyond them is the last element's, and other numbers beyond them are no sizes.
TEST(Import, NumbersThatNoSizeHolds) {
  ModelDef m =
      model({node("Slice", {"x"}, {"y"}, {integers("starts", {1}), integers("ends", {kMost}), integers("axes", {1})})});
  m.opsets[0].version = 9;
  EXPECT_EQ(import_model(m).graph->output_types()[0].dim(1), Dim(2));
  for (i64 v : {kMost, kLeast}) {
    m = model({node("ConstantOfShape", {"s"}, {"y"}, {tensor("value", ints("", {1}, {v}))})}, {ints("s", {1}, {2})});
    EXPECT_EQ(elements(answer(m, {Array::zeros(DType::f32, {2, 3})})), (std::vector<i64>{v, v}));
  }
  m = model({node("Relu", {"x"}, {"y"})});
  m.graph.inputs = {info("x", Element::float32, {kMost})};
  expect_error(m, {"input 'x': expected extents from 0 to 2^62 - 1, got 9223372036854775807"});
  m = model({node("iota", {}, {"y"}, {integers("shape", {kMost}), integer("axis", 0), text("dtype", "i64")})});
  m.graph.nodes[0].domain = "ai.tenon";
  expect_error(m, {"expected sizes within 63 bits in attribute 'shape', got 9223372036854775807"});
}

/// Positions as transformers count them: a range up to a size.
TEST(Import, RangesReachASize) {
  ModelDef m = model({node("Shape", {"x"}, {"s"}), node("Squeeze", {"s"}, {"n"}),
                      node("Range", {"two", "n", "three"}, {"up"}), node("Range", {"n", "two", "minus"}, {"down"})},
                     {ints("two", {}, {2}), ints("three", {}, {3}), ints("minus", {}, {-2})});
  m.graph.inputs = {named_sizes("x", Element::int64, {"n"})};
  m.graph.outputs = {named_sizes("up", Element::int64, {""}), named_sizes("down", Element::int64, {""})};
  GraphPtr g = import_model(m).graph;
  std::vector<Array> of_9 = execute(g, std::vector<Array>{vector(std::vector<i64>(9))});
  EXPECT_EQ(elements(of_9[0]), (std::vector<i64>{2, 5, 8}));
  EXPECT_EQ(elements(of_9[1]), (std::vector<i64>{9, 7, 5, 3}));
  std::vector<Array> of_1 = execute(g, std::vector<Array>{vector({0})});
  EXPECT_EQ(elements(of_1[0]), std::vector<i64>());
  EXPECT_EQ(elements(of_1[1]), std::vector<i64>());
}

/// The first of a sequence, cut out and squeezed: its axis is min(n, 1).
TEST(Import, SqueezesWhatIsAtMostOne) {
  ModelDef m = model({node("Slice", {"x", "zero", "one", "zero"}, {"t"}), node("Squeeze", {"t", "zero"}, {"y"})},
                     {ints("zero", {1}, {0}), ints("one", {1}, {1})});
  m.graph.inputs = {named_sizes("x", Element::int64, {"n"})};
  GraphPtr g = import_model(m).graph;
  EXPECT_EQ(elements(execute(g, std::vector<Array>{vector({7, 8})})[0]), std::vector<i64>{7});
  EXPECT_THROW(execute(g, std::vector<Array>{vector({})}), Error);
  m.graph.nodes = {node("Squeeze", {"x", "zero"}, {"y"})};
  expect_error(m, {"expected an extent of 1 on axis 0, got i64[n]; fix that size"});
}

TEST(Import, PartsOfASplitAreTheWhole) {
  ModelDef m = model({node("Split", {"x", "parts"}, {"y", "z"})}, {ints("parts", {2}, {1, 3})});
  expect_error(m, {"expected parts of 2 elements in all, got 4"});
}

TEST(Import, NumbersThatADtypeLosesAreRefused) {
  for (const char* op : {"IsInf", "LeakyRelu", "HardSigmoid"}) {
    ModelDef m = model({node(op, {"x"}, {"y"})});
    m.graph.inputs = {named_sizes("x", Element::int64, {"n"})};
    expect_error(m, {"(" + std::string(op) + " of opset 20)", "numbers of a dtype that holds"});
  }
}

// ---------------------------------------------------------------- hostile

TEST(HostileModels, RegionsOutOfThisWorld) {
  for (double far : {1e30, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
    for (const char* mode : {"nearest", "linear"}) {
      ModelDef m = model(
          {node("Resize", {"x", "roi", "", "sizes"}, {"y"},
                {text("mode", mode), text("coordinate_transformation_mode", "tf_crop_and_resize")})},
          {floats("roi", {4}, {0, static_cast<float>(far), 1, static_cast<float>(-far)}), ints("sizes", {2}, {2, 9})});
      expect_error(m, {"a region within 2^31"});
    }
}

TEST(HostileModels, Cycles) {
  expect_error(model({node("Add", {"x", "b"}, {"a"}), node("Relu", {"a"}, {"b"}), node("Neg", {"b"}, {"y"})}),
               {"node 0 (Add of opset 20)", "input 'b'", "cyclic or not sorted"});
  expect_error(model({node("Relu", {"y"}, {"y"})}), {"cyclic or not sorted"});
}

TEST(HostileModels, NamesTwice) {
  expect_error(model({node("Relu", {"x"}, {"y"}), node("Neg", {"x"}, {"y"})}), {"node 1", "'y' twice"});
  ModelDef two_inputs = model({node("Relu", {"x"}, {"y"})});
  two_inputs.graph.inputs.push_back(two_inputs.graph.inputs[0]);
  expect_error(two_inputs, {"input 'x': expected each name once"});
  expect_error(model({node("Relu", {"x"}, {"y"})}, {ints("w", {1}, {1}), ints("w", {1}, {2})}),
               {"initializer 'w': expected each name once"});
}

/// Field 2 holds bytes, after the wire format of protobuf.
std::string field(int number, const std::string& bytes) {
  std::string s(1, static_cast<char>(number << 3 | 2));
  for (size_t n = bytes.size();; n >>= 7) {
    s += static_cast<char>((n & 127) | (n > 127 ? 128 : 0));
    if (n <= 127) return s + bytes;
  }
}

TEST(HostileModels, SubgraphsNestedTenThousandDeep) {
  std::string graph;
  for (int i = 0; i < 10000; ++i) graph = field(1, field(4, "If") + field(5, field(6, graph)));  // node, attribute, g
  std::string bytes = "\x08\x09" + field(7, graph);
  try {
    decode_model(bytes);
    FAIL() << "no error";
  } catch (const Error& e) { EXPECT_NE(std::string(e.what()).find("nested too deep"), std::string::npos) << e.what(); }
}

TEST(HostileModels, FunctionsThatCallThemselvesOrDouble) {
  ModelDef m = model({node("f0", {"x"}, {"y"})});
  m.graph.nodes[0].domain = "local";
  auto function = [](const std::string& name, const std::string& calls) {
    FunctionDef f{name, "local", "", {"a"}, {"b"}, {}, {}, {}, {{"", 20}}};
    for (const char* out : {"c", "b"}) f.nodes.push_back(node(calls, {"a"}, {out}));
    for (NodeDef& n : f.nodes) n.domain = calls == "Relu" ? "" : "local";
    return f;
  };
  m.functions = {function("f0", "f0")};
  expect_error(m, {"expected", "functions"});
  m.functions.clear();
  for (int i = 0; i < 60; ++i) m.functions.push_back(function("f" + std::to_string(i), "f" + std::to_string(i + 1)));
  m.functions.push_back(function("f60", "Relu"));
  expect_error(m, {"1048576 nodes"});
}

/// y = LeakyRelu(Clip(x, "", 1)) in a branch of a function: alpha is the call's or the function's own, and the least of
/// Clip an input that the call leaves out.
TEST(Import, BranchesOfFunctionsKnowTheirCall) {
  auto floating = [](const std::string& name, float v) {
    Attribute a;
    a.name = name;
    a.kind = Attribute::Kind::floating;
    a.f = v;
    return a;
  };
  Attribute reference = floating("alpha", 0);
  reference.reference = "slope";
  auto branch = [](std::vector<NodeDef> nodes) {
    GraphDef g;
    g.nodes = std::move(nodes);
    g.outputs = {info("o", Element::float32, {2, 3})};
    return g;
  };
  GraphDef inner = branch({node("Clip", {"a", "least", "most"}, {"c"}), node("LeakyRelu", {"c"}, {"o"}, {reference})});
  GraphDef outer = branch({node("If", {"p"}, {"o"}, {body("then_branch", inner), body("else_branch", inner)})});
  GraphDef other = branch({node("Neg", {"a"}, {"o"})});
  FunctionDef f{"f", "local",   "", {"p", "a", "least", "most"}, {"b"}, {"slope"}, {floating("slope", 0.5f)},
                {},  {{"", 20}}};
  f.nodes = {node("If", {"p"}, {"b"}, {body("then_branch", outer), body("else_branch", other)})};
  ModelDef m = model({node("f", {"p", "x", "", "one"}, {"y"}, {floating("slope", 0.25f)})}, {floats("one", {}, {1})});
  m.graph.nodes[0].domain = "local";
  m.graph.inputs.push_back(info("p", Element::boolean, {}));
  m.opsets.push_back({"local", 1});
  m.functions = {f};
  Array x = Array::empty(DType::f32, {2, 3}), yes = Array::empty(DType::boolean, {});
  for (i64 i = 0; i < 6; ++i) x.set(i, static_cast<double>(4 * i - 8));
  yes.set_int(0, 1);
  EXPECT_EQ(answer(m, {x, yes}).get(0), -2);
  EXPECT_EQ(answer(m, {x, yes}).get(5), 1);
  m.graph.nodes[0].attributes.clear();
  EXPECT_EQ(answer(m, {x, yes}).get(0), -4);
}

/// Each function's sub-graphs are a few levels deep; one calls the next from the innermost.
TEST(HostileModels, BodiesNestedThroughFunctions) {
  ModelDef m = model({node("f0", {"p", "x"}, {"y"})});
  m.graph.inputs.push_back(info("p", Element::boolean, {}));
  auto branch = [](NodeDef n) {
    GraphDef g;
    g.nodes = {std::move(n)};
    g.outputs = {info("o", Element::float32, {2, 3})};
    return g;
  };
  for (int i = 0; i < 41; ++i) {
    NodeDef n = i < 40 ? node("f" + std::to_string(i + 1), {"p", "a"}, {"o"}) : node("Relu", {"a"}, {"o"});
    n.domain = i < 40 ? "local" : "";
    for (int k = 0; k < 5; ++k)
      n = node("If", {"p"}, {"o"},
               {body("then_branch", branch(n)), body("else_branch", branch(node("Neg", {"a"}, {"o"})))});
    m.functions.push_back({"f" + std::to_string(i), "local", "", {"p", "a"}, {"o"}, {}, {}, {n}, {{"", 20}}});
  }
  m.graph.nodes[0].domain = "local";
  m.opsets.push_back({"local", 1});
  expect_error(m, {"1 problem in", "(If of opset 20): expected bodies nested at most 200 deep, those of functions"});
  m.functions[30].nodes = {node("Relu", {"a"}, {"o"})};
  EXPECT_EQ(error_of(m), "");
}

/// A value that nobody makes is a problem where it is asked for, not a hole in the network.
TEST(HostileModels, OutputsThatNobodyMakes) {
  ModelDef m = model({node("f", {"x"}, {"y"})});
  m.graph.nodes[0].domain = "local";
  m.opsets.push_back({"local", 1});
  m.functions = {{"f", "local", "", {"a"}, {"b"}, {}, {}, {node("Relu", {"a"}, {"c"})}, {{"", 20}}}};
  expect_error(m, {"1 problem in", "node 0 (local.f of opset 20): [f] expected a value for output 'y', got none"});
  m.functions[0].outputs = {"c"};
  EXPECT_EQ(error_of(m), "");
  m.graph.nodes[0].outputs = {"t", "y"};
  expect_error(m, {"1 problem in", "[f] expected at most 1 outputs, got 2"});
  m = model({node("add", {"x", ""}, {"y"})});
  m.graph.nodes[0].domain = "ai.tenon";
  expect_error(m, {"[add] expected input 1, got none; give it"});
  m.graph.nodes[0] = node("add", {"x", "x"}, {"t", "y"});
  m.graph.nodes[0].domain = "ai.tenon";
  expect_error(m, {"[add] expected at most 1 outputs, got 2"});
}

/// Functions of one name are told apart by domain and overload; of two that agree in all the first counts.
TEST(Import, FunctionsGoByDomainNameAndOverload) {
  ModelDef m = model({node("f", {"x"}, {"a"}), node("f", {"a"}, {"b"}), node("f", {"b"}, {"y"})});
  auto function = [](const std::string& domain, const std::string& overload, const std::string& op) {
    return FunctionDef{"f", domain, overload, {"a"}, {"b"}, {}, {}, {node(op, {"a"}, {"b"})}, {{"", 20}}};
  };
  m.functions = {function("one", "", "Neg"), function("two", "", "Relu"), function("one", "o", "Exp"),
                 function("one", "", "Sin")};
  for (size_t i = 0; i < 3; ++i) m.graph.nodes[i].domain = i == 1 ? "two" : "one";
  m.graph.nodes[2].overload = "o";
  std::string text = to_string(*import_model(m).graph);
  for (const char* op : {"neg(", "relu(", "exp("}) EXPECT_NE(text.find(op), text.npos) << text;
  EXPECT_EQ(text.find("sin("), text.npos) << text;
}

/// One function's optional input is left out; another makes a value of that name, which its own nodes read.
TEST(Import, AnInputLeftOutIsOfItsCallAlone) {
  FunctionDef open{"open", "local", "", {"a", "m"}, {"b"}, {}, {}, {node("Clip", {"a", "m"}, {"b"})}, {{"", 20}}};
  FunctionDef own{"own", "local", "", {"a"}, {"b"}, {}, {}, {}, {{"", 20}}};
  own.nodes = {node("ReduceMax", {"a"}, {"m"}, {integer("keepdims", 0)}), node("Clip", {"a", "m"}, {"b"})};
  ModelDef m = model({node("open", {"x"}, {"t"}), node("own", {"t"}, {"y"})});
  for (NodeDef& n : m.graph.nodes) n.domain = "local";
  m.opsets.push_back({"local", 1});
  m.functions = {open, own};
  std::string text = to_string(*import_model(m).graph);
  EXPECT_NE(text.find("maximum"), text.npos) << text;
}

TEST(HostileModels, SizesThatLie) {
  auto filled = [](std::vector<i64> shape) {
    return model({node("ConstantOfShape", {"s"}, {"big"}), node("Reshape", {"x", "big"}, {"y"})},
                 {ints("s", {static_cast<i64>(shape.size())}, shape)});
  };
  EXPECT_NE(error_of(filled({i64{1} << 40})), "");
  EXPECT_NE(error_of(filled({i64{1} << 40, i64{1} << 40})), "");
  EXPECT_NE(error_of(filled({-1})), "");
  EXPECT_NE(error_of(model({node("Reshape", {"x", "s"}, {"y"})}, {ints("s", {i64{1} << 40}, {1})})), "");
  EXPECT_NE(error_of(model({node("Reshape", {"x", "s"}, {"y"})}, {ints("s", {-1}, {1})})), "");
  // A loop of 2^62 iterations whose result is a shape is not run at import.
  GraphDef loop;
  loop.name = "loop";
  loop.inputs = {info("i", Element::int64, {}), info("go", Element::boolean, {}), info("v", Element::int64, {1})};
  loop.nodes = {node("Identity", {"go"}, {"on"}), node("Add", {"v", "v"}, {"w"})};
  loop.outputs = {info("on", Element::boolean, {}), info("w", Element::int64, {1})};
  expect_error(model({node("Loop", {"n", "", "s"}, {"t"}, {body("body", loop)}), node("Reshape", {"x", "t"}, {"y"})},
                     {ints("n", {}, {i64{1} << 62}), ints("s", {1}, {0})}),
               {"node 1 (Reshape of opset 20)", "depends on data"});
}

/// (a + 1)^(2^40) written out would fill any memory.
TEST(HostileModels, SizesThatGrow) {
  std::vector<NodeDef> nodes{node("Shape", {"x"}, {"s0"})};
  for (int i = 0; i < 40; ++i) {
    std::string at = std::to_string(i), next = std::to_string(i + 1);
    nodes.push_back(node("Add", {"s" + at, "one"}, {"t" + at}));
    nodes.push_back(node("Mul", {"t" + at, "t" + at}, {"s" + next}));
  }
  nodes.push_back(node("Reshape", {"x", "s40"}, {"y"}));
  ModelDef m = model(nodes, {ints("one", {1}, {1})});
  for (auto& e : m.graph.inputs[0].type.shape) e = {TypeInfo::Extent::Kind::name, 0, "n"};
  EXPECT_NE(error_of(m), "");
}

TEST(HostileModels, CutOrChangedAnywhere) {
  for (const ModelDef& m : {shapes(), control()}) {
    std::string good = encode_model(m);
    auto attempt = [](const std::string& bytes) {
      try {
        import_model(decode_model(bytes));
      } catch (const Error& e) { EXPECT_STRNE(e.what(), ""); }
    };
    for (size_t n = 0; n < good.size(); ++n) attempt(good.substr(0, n));
    for (size_t i = 0; i < good.size(); ++i)
      for (int change : {0x01, 0x80, 0xFF}) {
        std::string bytes = good;
        bytes[i] = static_cast<char>(bytes[i] ^ change);
        attempt(bytes);
      }
  }
}

// ---------------------------------------------------------------- data in other files

class ExternalData : public testing::Test {
 public:
  ExternalData() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tenon-onnx-XXXXXX").string();
    top = mkdtemp(pattern.data());
    std::filesystem::create_directories(top / "model" / "data");
    options.folder = (top / "model").string();
    i64 values[] = {3, -1};
    std::string bytes(reinterpret_cast<const char*>(values), sizeof values);
    for (const char* place : {"far.bin", "model/data/near.bin"}) write_file("test", (top / place).string(), bytes);
  }
  ~ExternalData() override { std::filesystem::remove_all(top); }
  static ModelDef reshaped(const Entries& external, i64 count = 2) {
    ModelDef m = model({node("Reshape", {"x", "s"}, {"y"})}, {ints("s", {count}, {})});
    m.graph.initializers[0].external = external;
    return m;
  }
  std::filesystem::path top;
  ImportOptions options;
};

TEST_F(ExternalData, IsReadBelowTheModelsFolder) {
  auto first = [&](const Entries& external, i64 count) {
    return import_model(reshaped(external, count), options).graph->output_types()[0].dim(0);
  };
  EXPECT_EQ(first({{"location", "data/near.bin"}}, 2), Dim(3));
  EXPECT_EQ(first({{"location", "data/near.bin"}, {"offset", "8"}, {"length", "8"}}, 1), Dim(6));
}

TEST_F(ExternalData, NeverOutside) {
  std::filesystem::create_symlink(top / "far.bin", top / "model" / "link.bin");
  std::filesystem::create_directory_symlink(top, top / "model" / "up");
  for (const std::string& place : {std::string("../far.bin"), std::string("data/../../far.bin"),
                                   (top / "far.bin").string(), std::string("link.bin"), std::string("up/far.bin"),
                                   std::string("data"), std::string(""), std::string("none.bin")})
    expect_error(reshaped({{"location", place}}), {"tensor 's'", "expected", "got"}, options);
  expect_error(reshaped({{"location", "data/near.bin"}}), {"give the folder"});  // bytes without a file
}

TEST_F(ExternalData, ClaimsNoMoreThanTheFileHolds) {
  auto refused = [&](const std::string& offset, const std::string& length) {
    expect_error(reshaped({{"location", "data/near.bin"}, {"offset", offset}, {"length", length}}), {"tensor 's'"},
                 options);
  };
  refused("0", "17");
  refused("17", "0");
  refused("8", "18446744073709551615");
  refused("18446744073709551615", "2");
  refused("-1", "8");
  refused("0x8", "8");
  refused("0", "8");  // fewer than the shape needs
}

}  // namespace
}  // namespace tn::onnx
