// The C interface for plugins: libraries that a plain C compiler builds outside the tree, good ones and bad ones.
#include <cmath>

#include "base/file.h"
#include "engine/plan_state.h"
#include "ir/op_def.h"
#include "networks.h"

namespace tn {
namespace {

/// Compiles C sources against a copy of the one header.
struct Workshop {
  Folder folder;
  Workshop() { std::filesystem::copy_file(TENON_PLUGIN_HEADER, folder / "tenon_plugin.h"); }
  std::string built(const std::string& name, const std::string& source) {
    write_file("test", folder / (name + ".c"), source);
    std::string library = folder / (name + ".so");
    Ran r = shell("cd " + (folder / "") + " && cc -std=c99 -Wall -Wextra -pedantic -Werror -O2 -shared -fPIC " + name +
                  ".c -o " + library + " -lm");
    EXPECT_EQ(r.status, 0) << r.text;
    return library;
  }
};

constexpr const char* kBegin = "#include \"tenon_plugin.h\"\n#include <string.h>\n";

/// A table of ops, the rest of a plugin around it.
std::string plugin(const std::string& functions, const std::string& ops, const std::string& version = "host_version") {
  return kBegin + functions + "static const tenon_op kOps[] = {" + ops +
         "};\nstatic tenon_plugin kPlugin = {0, \"test\", kOps, sizeof kOps / sizeof *kOps};\n"
         "const tenon_plugin* tenon_plugin_entry(uint32_t host_version);\n"
         "const tenon_plugin* tenon_plugin_entry(uint32_t host_version) {\n  (void)host_version;\n  kPlugin.version "
         "= " +
         version + ";\n  return &kPlugin;\n}\n";
}

constexpr const char* kCopy = R"(
static int copy(const tenon_host* host, tenon_call* call, const tenon_tensor* in, const tenon_tensor* out) {
  int64_t n = 1; int32_t i;
  (void)host; (void)call;
  for (i = 0; i < in[0].rank; ++i) n *= in[0].shape[i];
  memcpy(out[0].data, in[0].data, (size_t)n * sizeof(float));
  return 0;
}
)";

std::string op_entry(const std::string& name, const std::string& run, const std::string& rest = "0, 0, 0, ") {
  return "{\"" + name + "\", \"a test\", 1, 1, TENON_ACCEPTS(TENON_F32), " + rest + run + ", 0},";
}

Network network_of(const std::string& text) {
  return Network(std::make_shared<NamedGraph>(NamedGraph{parse_graph(text), {"x"}, {"y"}, {}}));
}

Network reloaded(const Network& net, const std::string& file) {
  export_onnx(net, file);
  return import_onnx(file);
}

std::vector<double> answers(const engine::Plan& plan, const Tensor& x) {
  return engine::Context(plan).run({x})[0].to_vector();
}

// ---------------------------------------------------------------- the example

TEST(Plugin, TheExampleIsBuiltOutsideRunsAndTrains) {
  Workshop workshop;
  std::string library = workshop.built("swoosh", read_file("test", SWOOSH_SOURCE));
  EXPECT_EQ(load_plugin(library), (std::vector<std::string>{"swoosh", "swoosh_gradient"}));
  EXPECT_EQ(load_plugin(library).size(), 2u);  // again is no error
  Network net = network_of("graph(%0: f32[n]) { %1: f32[n] = swoosh(%0) {beta=1.5} return %1 }");
  Tensor x = tensor(std::vector<float>{-2, -0.5f, 0, 1, 3});
  auto expected = [](double v) { return v / (1 + std::exp(-1.5 * v)); };
  auto check = [&](const std::vector<double>& got) {
    for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(got[i], expected(x.to_vector()[i]), 1e-6);
  };
  check(net(std::vector{x})[0].to_vector());
  Tensor gradient = grad([&](const Tensor& v) { return sum(net(std::vector{v})[0]); })(x);
  for (size_t i = 0; i < 5; ++i) {
    double v = x.to_vector()[i], h = 1e-4;
    EXPECT_NEAR(gradient.to_vector()[i], (expected(v + h) - expected(v - h)) / (2 * h), 1e-4);
  }
  check(vmap([&](const Tensor& v) { return net(std::vector{reshape(v, {1})})[0]; })(x).to_vector());
  // The field survives both files, and the op a plan.
  check(reloaded(net, workshop.folder / "s.onnx")(std::vector{x})[0].to_vector());
  engine::Plan plan = engine::build(net);
  plan.save(workshop.folder / "s.plan");
  check(answers(engine::Plan::load(workshop.folder / "s.plan"), x));
  check(answers(engine::Plan::load(workshop.folder / "s.plan", true), x));
}

TEST(Plugin, Trains) {
  Workshop workshop;
  std::string source = read_file("test", SWOOSH_SOURCE);
  for (size_t at = 0; (at = source.find("\"swoosh", at)) != source.npos; at += 8) source.replace(at, 7, "\"bend");
  load_plugin(workshop.built("bend", source));
  Network net = small_network().replace_last("relu", "bend");
  std::vector<Tensor> weights;
  for (const auto& [name, t] : net.weights()) weights.push_back(t);
  Tensor x = pictures(8), y = tensor(std::vector<i64>{0, 1, 2, 3, 4, 0, 1, 2});
  auto loss_of = [&](const std::vector<Tensor>& w) {
    return -mean(sum(log(net.apply(w, std::vector{x})[0]) * one_hot(y, 5), {.axis = 1}));
  };
  double first = 0, last = 0;
  for (int i = 0; i < 20; ++i) {
    auto [loss, gradients] = value_and_grad(loss_of)(weights);
    last = loss.item();
    if (i == 0) first = last;
    for (size_t k = 0; k < weights.size(); ++k) weights[k] = weights[k] - gradients[k] * 0.1;
    eval(weights);
  }
  EXPECT_LT(last, 0.8 * first);
}

// ---------------------------------------------------------------- what a plugin may do

TEST(Plugin, ShapeRulesAreSymbolic) {
  Workshop workshop;
  load_plugin(
      workshop.built("twice", plugin(R"(
static int infer(const tenon_host* host, tenon_call* call) {
  tenon_dim shape[2];
  if (host->operand_rank(call, 0) != 2) return host->fail(call, "expected 2 axes; use reshape");
  shape[0] = host->operand_dim(call, 0, 0);
  shape[1] = host->dim_add(host->dim_mul(host->dim(2), host->operand_dim(call, 0, -1)), host->dim(1));
  host->set_result(call, 0, TENON_F32, 2, shape);
  return 0;
}
static int run(const tenon_host* host, tenon_call* call, const tenon_tensor* in, const tenon_tensor* out) {
  const float* x = in[0].data; float* y = out[0].data;
  int64_t i, k, n = in[0].shape[1], m = out[0].shape[1];
  (void)host; (void)call;
  for (i = 0; i < in[0].shape[0]; ++i)
    for (k = 0; k < m; ++k) y[i * m + k] = k < 2 * n ? x[i * n + k % n] : 7.0f;
  return 0;
}
)",
                                     "{\"twice\", \"a test\", 1, 1, TENON_ACCEPTS(TENON_F32), 0, 0, infer, run, 0}")));
  Network net = network_of("graph(%0: f32[n, m]) { %1: f32[n, 2*m + 1] = twice(%0) return %1 }");
  EXPECT_EQ(to_string(net.outputs()[0].type), "f32[n, 2*m + 1]");
  engine::Plan plan = engine::build(net);
  for (i64 n : {1, 3}) {
    Tensor x = reshape(cast(arange(n * 2), DType::f32), {n, 2});
    std::vector<double> got = answers(plan, x);
    ASSERT_EQ(got.size(), static_cast<size_t>(n * 5));
    EXPECT_EQ(got[3], 1);
    EXPECT_EQ(got.back(), 7);
  }
  expect_error([] { parse_graph("graph(%0: f32[n]) { %1: f32[n] = twice(%0) return %1 }"); },
               "[twice] expected 2 axes; use reshape");
  expect_error([] { parse_graph("graph(%0: f64[n, 2]) { %1: f64[n, 5] = twice(%0) return %1 }"); },
               "expected operands of a dtype the plugin accepts, got f64[n, 2]; use cast");
}

TEST(Plugin, FieldsOfEveryKindAreStored) {
  Workshop workshop;
  load_plugin(workshop.built(
      "fielded", plugin(R"(
static int run(const tenon_host* host, tenon_call* call, const tenon_tensor* in, const tenon_tensor* out) {
  const float* x = in[0].data; float* y = out[0].data;
  const int64_t* list; const double* weights;
  int64_t i, lists = host->integers_field(call, "list", &list), ws = host->floats_field(call, "weights", &weights);
  float add = (float)host->integer_field(call, "lift") + (float)host->float_field(call, "shift");
  for (i = 0; i < lists; ++i) add += (float)list[i];
  for (i = 0; i < ws; ++i) add += (float)weights[i];
  if (!strcmp(host->string_field(call, "mode"), "minus")) add = -add;
  for (i = 0; i < in[0].shape[0]; ++i) y[i] = x[i] + add;
  return 0;
}
static const tenon_field kFields[] = {{"lift", TENON_FIELD_INTEGER, 1, 0, 0, 0}, {"shift", TENON_FIELD_FLOAT, 0, 0, 0.5, 0},
  {"mode", TENON_FIELD_STRING, 0, 0, 0, "plus"}, {"list", TENON_FIELD_INTEGERS, 0, 0, 0, 0}, {"weights", TENON_FIELD_FLOATS, 0, 0, 0, 0}};
)",
                        "{\"fielded\", \"a test\", 1, 1, TENON_ACCEPTS(TENON_F32), kFields, 5, 0, run, 0}")));
  Tensor x = tensor(std::vector<float>{10, 20});
  auto check = [&](const std::string& attrs, double add) {
    Network net = network_of("graph(%0: f32[n]) { %1: f32[n] = fielded(%0) {" + attrs + "} return %1 }");
    EXPECT_EQ(net(std::vector{x})[0].to_vector()[1], 20 + add);
    EXPECT_EQ(reloaded(net, workshop.folder / "f.onnx")(std::vector{x})[0].to_vector()[1], 20 + add);
    engine::build(net).save(workshop.folder / "f.plan");
    EXPECT_EQ(answers(engine::Plan::load(workshop.folder / "f.plan"), x)[1], 20 + add);
  };
  check("lift=2", 2.5);
  check("lift=2, list=[1, 2], mode=\"minus\", shift=0.25, weights=(0.5, 0.25)", -6.0);
  expect_error([] { parse_graph("graph(%0: f32[n]) { %1: f32[n] = fielded(%0) return %1 }"); }, "lift");
  expect_error([] { parse_graph("graph(%0: f32[n]) { %1: f32[n] = fielded(%0) {lift=0.5} return %1 }"); }, "lift");
}

/// Only a floating result has a cotangent; the gradient is given zeros for the others.
TEST(Plugin, TrainsBesideAnIntegerResult) {
  Workshop workshop;
  load_plugin(workshop.built("counted", plugin(R"(
static int infer(const tenon_host* host, tenon_call* call) {
  tenon_dim shape[1];
  shape[0] = host->operand_dim(call, 0, 0);
  host->set_result(call, 0, TENON_I64, 1, shape);
  host->set_result(call, 1, TENON_F32, 1, shape);
  return 0;
}
static int run(const tenon_host* host, tenon_call* call, const tenon_tensor* in, const tenon_tensor* out) {
  const float* x = in[0].data; int64_t* places = out[0].data; float* y = out[1].data; int64_t i;
  (void)host; (void)call;
  for (i = 0; i < in[0].shape[0]; ++i) { places[i] = i; y[i] = x[i] * x[i]; }
  return 0;
}
static int infer_gradient(const tenon_host* host, tenon_call* call) {
  tenon_dim shape[1];
  shape[0] = host->operand_dim(call, 0, 0);
  host->set_result(call, 0, TENON_F32, 1, shape);
  return 0;
}
static int gradient(const tenon_host* host, tenon_call* call, const tenon_tensor* in, const tenon_tensor* out) {
  const float *x = in[0].data, *cotangent = in[4].data; const int64_t *places = in[1].data, *none = in[3].data;
  float* y = out[0].data; int64_t i;
  (void)host; (void)call;
  for (i = 0; i < in[0].shape[0]; ++i) y[i] = 2 * x[i] * cotangent[i] + (float)(100 * none[i] + places[i] - i);
  return 0;
}
)",
                                               "{\"counted\", \"a test\", 1, 2, TENON_ACCEPTS(TENON_F32), 0, 0, infer, "
                                               "run, \"counted_gradient\"},"
                                               "{\"counted_gradient\", \"a test\", 5, 1, TENON_ACCEPTS(TENON_F32) | "
                                               "TENON_ACCEPTS(TENON_I64), 0, 0, infer_gradient, gradient, 0},")));
  Network net(std::make_shared<NamedGraph>(NamedGraph{
      parse_graph("graph(%0: f32[n]) { %1: i64[n], %2: f32[n] = counted(%0) return %1, %2 }"), {"x"}, {"i", "y"}, {}}));
  Tensor x = tensor(std::vector<float>{1, 2, 3});
  EXPECT_EQ(net(std::vector{x})[0].to_vector(), (std::vector<double>{0, 1, 2}));
  Tensor g = grad([&](const Tensor& v) { return sum(net(std::vector{v})[1] * x); })(x);
  EXPECT_EQ(g.to_vector(), (std::vector<double>{2, 8, 18}));
}

/// Lanes, tensors of files and memory of the user lie anywhere; what the plugin is given does not.
TEST(Plugin, TensorsAreAlignedWhereverTheyLie) {
  Workshop workshop;
  load_plugin(workshop.built("strict", plugin(std::string(kCopy) + R"(
static int strict(const tenon_host* host, tenon_call* call, const tenon_tensor* in, const tenon_tensor* out) {
  if ((uintptr_t)in[0].data % 64) return host->fail(call, "expected an operand aligned to 64 bytes");
  if ((uintptr_t)out[0].data % 64) return host->fail(call, "expected a result aligned to 64 bytes");
  return copy(host, call, in, out);
}
)",
                                              op_entry("strict", "strict"))));
  Network net = network_of("graph(%0: f32[n]) { %1: f32[n] = strict(%0) return %1 }");
  engine::Plan plan = engine::build(net);
  auto call = [&](const Tensor& v) { return net(std::vector{v})[0]; };
  Tensor rows = random::normal(random::key(1), {5, 3});
  EXPECT_EQ(vmap(call)(rows).to_vector(), rows.to_vector());
  auto check = [&](const Tensor& x) {
    ASSERT_NE(reinterpret_cast<std::uintptr_t>(x.raw()) % 64, 0u);
    EXPECT_EQ(call(x).to_vector(), x.to_vector());
    EXPECT_EQ(answers(plan, x), x.to_vector());
  };
  alignas(64) float numbers[] = {9, 1, 2, 3, 4};
  check(wrap_data(numbers + 1, {4}, DType::f32, nullptr));
  save_safetensors(workshop.folder / "two.safetensors", {{"first", zeros({1})}, {"second", rows(1)}});
  check(load_safetensors(workshop.folder / "two.safetensors").tensors[1].second);
}

TEST(Plugin, FailingCallsAreErrors) {
  Workshop workshop;
  load_plugin(workshop.built("failing", plugin(std::string(kCopy) + R"(
static int says(const tenon_host* host, tenon_call* call, const tenon_tensor* in, const tenon_tensor* out) {
  (void)in; (void)out;
  return host->fail(call, "expected a better day, got this one; try tomorrow");
}
static int mute(const tenon_host* host, tenon_call* call, const tenon_tensor* in, const tenon_tensor* out) {
  (void)host; (void)call; (void)in; (void)out;
  return 3;
}
static int lazy(const tenon_host* host, tenon_call* call) { (void)host; (void)call; return 0; }
)",
                                               op_entry("says", "says") + op_entry("mute", "mute") +
                                                   op_entry("lazy", "copy", "0, 0, lazy, "))));
  auto run = [](const std::string& name) {
    Network net = network_of("graph(%0: f32[n]) { %1: f32[n] = " + name + "(%0) return %1 }");
    engine::Context(engine::build(net)).run({zeros({3}, DType::f32)});
  };
  expect_error([&] { run("says"); }, "[says] expected a better day, got this one; try tomorrow");
  expect_error([&] { run("mute"); }, "the plugin's run failed with status 3 and no message");
  expect_error([&] { run("lazy"); }, "expected the plugin's infer to set 1 results, got fewer");
  expect_error(
      [] {
        Network net = network_of("graph(%0: f32[n]) { %1: f32[n] = mute(%0) return %1 }");
        grad([&](const Tensor& v) { return sum(net(std::vector{v})[0]); })(zeros({3}, DType::f32)).eval();
      },
      "the plugin names no gradient for it");
}

// ---------------------------------------------------------------- what is refused

TEST(Plugin, BadLibrariesAreRefused) {
  Workshop workshop;
  auto refused = [&](const std::string& name, const std::string& source, const std::string& text) {
    std::string library = workshop.built(name, source);
    expect_error([&] { load_plugin(library); }, text);
  };
  std::string one = op_entry("one", "copy");
  refused("old", plugin(kCopy, one, "0u"), "expected version 1 of the plugin interface, got version 0; rebuild it");
  refused("new", plugin(kCopy, one, "9u"), "got version 9");
  refused("no_entry", "int nothing(void);\nint nothing(void) { return 0; }\n",
          "expected the entry point tenon_plugin_entry, got a library without it");
  refused("declines",
          std::string(kBegin) + "const tenon_plugin* tenon_plugin_entry(uint32_t v) { (void)v; return 0; }\n",
          "the plugin refuses version 1 of the interface");
  refused("undefined",
          std::string(kBegin) +
              "int elsewhere(void);\nconst tenon_plugin* tenon_plugin_entry(uint32_t v) "
              "{ (void)v; elsewhere(); return 0; }\n",
          "undefined symbol: elsewhere");
  refused("taken", plugin(kCopy, op_entry("relu", "copy")), "expected a name that is free");
  refused("named", plugin(kCopy, op_entry("a-b", "copy")), "expected a name of letters, digits and _");
  refused("double", plugin(kCopy, one + one), "expected each op once, got 'one' twice");
  std::string kernel = op_entry("one_kernel", "copy");
  refused("kernel_last", plugin(kCopy, one + kernel), "expected another name than 'one_kernel', which is that of the");
  refused("kernel_first", plugin(kCopy, kernel + one), "which is that of the kernel of 'one'");
  refused("no_run", plugin("", op_entry("none", "0")), "expected a run function and a doc line");
  refused("many", plugin(kCopy, "{\"many\", \"a test\", 17, 1, 1u, 0, 0, 0, copy, 0}"), "expected 1 to 16 operands");
  refused("no_dtype", plugin(kCopy, "{\"untyped\", \"a test\", 1, 1, 0, 0, 0, 0, copy, 0}"),
          "at least one known dtype");
  refused("no_fields", plugin(kCopy, op_entry("no_fields", "copy", "0, 2, 0, ")), "expected at most 64 fields");
  refused("no_gradient", plugin(kCopy, "{\"lone\", \"a test\", 1, 1, 2u, 0, 0, 0, copy, \"lone_gradient\"}"),
          "expected its gradient 'lone_gradient' among the plugin's ops");
  refused("gradient", plugin(kCopy, "{\"pair\", \"a test\", 1, 1, 2u, 0, 0, 0, copy, \"pair\"}"),
          "expected its gradient to take operands, results and cotangents");
  expect_error([] { load_plugin("/nowhere/x.so"); }, "expected a shared library, got no such file");
  write_file("test", workshop.folder / "text.so", "text");
  expect_error([&] { load_plugin(workshop.folder / "text.so"); }, "expected a shared library that can be opened");
  EXPECT_EQ(find_op("one"), nullptr);  // a refused plugin leaves nothing behind
}

TEST(Plugin, PlansAskForIt) {
  Workshop workshop;
  load_plugin(workshop.built("asked", plugin(kCopy, op_entry("asked", "copy"))));
  Network net = network_of("graph(%0: f32[n]) { %1: f32[n] = asked(%0) return %1 }");
  std::string all;
  for (const std::string& piece : engine::stored_plan(engine::build(net).state())) all += piece;
  EXPECT_NE(all.find("native asked_kernel 1 "), all.npos);
}

}  // namespace
}  // namespace tn
