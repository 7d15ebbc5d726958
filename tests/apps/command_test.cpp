// The `tenon` command as users meet it: the real binary, its files, messages and exit status.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "backend/cpu/cpu.h"
#include "base/file.h"
#include "models.h"
#include "networks.h"
#include "onnx/import.h"
#include "onnx/tensors.h"

namespace tn {
namespace {

const std::string kTenon = TENON_COMMAND, kProtobuf = TENON_PROTOBUF;

Ran tenon(const std::string& arguments) { return shell(kTenon + " " + arguments); }

void expect_says(const Ran& r, int status, const std::string& text) {
  EXPECT_EQ(r.status, status) << r.text;
  EXPECT_NE(r.text.find(text), std::string::npos) << r.text;
}

/// A message on standard error that starts with the program's name, and status 1.
void expect_refused(const std::string& arguments, const std::string& text) {
  Ran r = tenon(arguments + " >/dev/null");
  expect_says(r, 1, text);
  EXPECT_TRUE(r.text.starts_with("tenon: ")) << r.text;
}

size_t files_in(const std::string& folder) {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++n;
  return n;
}

Array read_pb(const std::string& path) { return onnx::array_of(onnx::decode_value(read_file("test", path)).tensor); }

void write_pb(const std::string& path, const Tensor& t) {
  std::vector<i64> shape;
  for (Dim d : t.shape()) shape.push_back(d.value());
  Array a = Array::empty(t.dtype(), shape);
  std::memcpy(a.bytes_begin(), t.raw(), a.nbytes());
  onnx::ValueDef v;
  v.tensor = onnx::tensor_of(a, "");
  write_file("test", path, onnx::encode_value(v));
}

struct Endless {
  Tensor operator()(const Tensor& x) const {
    return while_loop([](const Tensor& v) { return v > 0.0; }, [](const Tensor& v) { return v * 1.0; }, x);
  }
};

/// A model, inputs for it in both forms, and what it should answer.
struct Command : testing::Test {
  Folder folder;
  Network net = small_network();
  Tensor x = pictures(3), want = net(std::vector{x})[0];
  std::string model = folder / "model.onnx", plan = folder / "model.plan", npy = folder / "npy", pb = folder / "pb",
              out = folder / "out";
  void SetUp() override {
    export_onnx(net, model);
    std::filesystem::create_directory(npy);
    std::filesystem::create_directory(pb);
    save_npy(npy + "/image.npy", x);
    write_pb(pb + "/input_0.pb", x);
  }
  std::string io(const std::string& inputs) const { return " --inputs " + inputs + " --outputs " + out; }
  void expect_answer() const {
    Tensor got = load_npy(out + "/scores.npy");
    expect_same(got, want);
  }
};

// ---------------------------------------------------------------- run

TEST_F(Command, RunsModelsOnNpy) {
  EXPECT_EQ(tenon("run " + model + io(npy)).text, "");
  expect_answer();
  EXPECT_EQ(files_in(out), 1u);
}

TEST_F(Command, RunsModelsOnProtobuf) {
  EXPECT_EQ(tenon("run " + model + io(pb)).text, "");
  EXPECT_EQ(files_in(out), 1u);
  Array got = read_pb(out + "/output_0.pb");
  for (i64 i = 0; i < got.size(); ++i) EXPECT_EQ(got.get(i), want.to_vector()[static_cast<size_t>(i)]);
}

TEST_F(Command, RunsPlans) {
  expect_says(tenon("build " + model + " --output " + plan + " --profile batch=1:4:16"), 0, "instructions for");
  EXPECT_EQ(tenon("run " + plan + io(npy)).text, "");
  expect_answer();
  EXPECT_EQ(tenon("run " + plan + io(pb)).text, "");
  EXPECT_EQ(files_in(out), 2u);
  save_npy(npy + "/image.npy", pictures(17));
  expect_refused("run " + plan + io(npy), "expected size 'batch' from 1 to 16, got 17");
}

/// The plan's own kernels run where there is neither LLVM nor protobuf; the report says what was done.
TEST_F(Command, PlansRunWithoutLlvmAndProtobuf) {
  if (!cpu::compiler_problem().empty()) GTEST_SKIP() << cpu::compiler_problem();
  ASSERT_EQ(tenon("build " + model + " --output " + plan).status, 0);
  std::string bare = folder / "bare/bin";
  std::filesystem::create_directories(bare);
  std::filesystem::copy_file(kTenon, bare + "/tenon");
  std::string alone = "env -u TENON_LIBRARY_DIR -u LD_LIBRARY_PATH TENON_CACHE_DIR=off ";
  Ran r = shell(alone + bare + "/tenon run " + plan + io(npy) + " --report " + folder / "report.json");
  EXPECT_EQ(r.text, "");
  expect_answer();
  auto report = nlohmann::json::parse(read_file("test", folder / "report.json"));
  for (const char* none :
       {"plans_built", "kernels_made", "compiled_by_llvm", "read_from_cache", "phases_interpreted", "reference_runs"})
    EXPECT_EQ(report.at(none), 0) << none;
  EXPECT_GT(report.at("kernels_stored"), 1);
  EXPECT_GT(report.at("phases"), 1);
  expect_says(shell(alone + bare + "/tenon run " + model + io(npy)), 1, "libtenon_protobuf.so");
  // With protobuf but a backend that is none, a build says that its plan will be interpreted.
  std::filesystem::create_directories(folder / "bare/lib");
  std::filesystem::copy_file(kProtobuf, folder / "bare/lib/libtenon_protobuf.so");
  write_file("test", folder / "bare/lib/libtenon_llvm.so", "no library");
  expect_says(shell(alone + bare + "/tenon build " + model + " --output " + folder / "slow.plan"), 0,
              "note: its kernels are interpreted, for the LLVM backend (libtenon_llvm.so) cannot be opened");
  expect_says(shell("TENON_ISA=none " + kTenon + " run " + plan + io(npy)), 0,
              "its kernels are interpreted, for this machine has no AVX2");
  expect_answer();
  if (cpu::widest_isa() != cpu::Isa::avx512) return;
  expect_says(shell("TENON_ISA=avx2 " + kTenon + " run " + plan + io(npy)), 0,
              "note: the plan was built for avx512, this machine runs avx2: its kernels were compiled again");
  expect_says(shell(alone + "TENON_ISA=avx2 " + bare + "/tenon run " + plan + io(npy)), 0,
              "its kernels are interpreted, for the LLVM backend");
  // A narrower plan runs as it is on a wider machine that cannot compile.
  ASSERT_EQ(shell("TENON_ISA=avx2 " + kTenon + " build " + model + " --output " + plan).status, 0);
  expect_says(shell(alone + bare + "/tenon run " + plan + io(npy)), 0, "its kernels run as they are, for the LLVM");
  expect_answer();
}

TEST_F(Command, NothingIsExecutedOnTheReference) {
  for (const std::string& what : {"run " + model + io(npy), "build " + model + " --output " + plan}) {
    std::string said = shell("TENON_EXPLAIN=1 " + kTenon + " " + what + " --report " + folder / "report.json").text;
    auto report = nlohmann::json::parse(read_file("test", folder / "report.json"));
    EXPECT_EQ(report.at("reference_runs"), 0) << what;
    EXPECT_GT(report.at("phases"), 0) << what;
    EXPECT_EQ(said.find("# ref:"), said.npos) << what;
  }
  // What is counted there is seen where it happens.
  expect_says(shell("TENON_EXPLAIN=1 " + kTenon + " compare " + model + " --inputs " + npy), 0, "# ref: ");
}

TEST_F(Command, MisspeltPassesAreRefused) {
  for (std::string variable : {"TENON_SKIP", "TENON_DUMP"})
    expect_says(shell(variable + "=fuze " + kTenon + " run " + model + io(npy)), 1, "fuse, all), got 'fuze'");
  expect_says(shell("TENON_SKIP=fuse,simplify " + kTenon + " run " + model + io(npy)), 0, "");
}

TEST_F(Command, BadInputIsRefused) {
  expect_refused("run " + folder / "none.onnx" + io(npy), "cannot be opened");
  write_file("test", folder / "bad.onnx", "no model");
  expect_refused("run " + folder / "bad.onnx" + io(npy), "expected");
  write_file("test", folder / "bad.plan", "TENONPLN and then nothing");
  expect_refused("run " + folder / "bad.plan" + io(npy), "bad.plan': expected");
  expect_refused("run " + model + io(folder / "none"), "expected a folder of inputs");
  std::filesystem::create_directory(folder / "empty");
  expect_refused("run " + model + io(folder / "empty"),
                 "expected a file for input 'image' f32[batch, 1, 6, 6], got none: input_0.pb or image.npy");
  save_npy(npy + "/image.npy", cast(x, DType::f64));
  expect_refused("run " + model + io(npy), "expected f32[batch, 1, 6, 6] for input 'image', got f64[3, 1, 6, 6]");
  save_npy(npy + "/image.npy", reshape(x, {3, 36}));
  expect_refused("run " + model + io(npy), "got f32[3, 36]");
  write_file("test", npy + "/image.npy", "not numpy");
  expect_refused("run " + model + io(npy), "image.npy");
  write_file("test", pb + "/input_1.pb", "x");
  expect_refused("run " + model + io(pb), "expected input files for 1 inputs");
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(Command, OutputsAreWrittenWholeOrNotAtAll) {
  write_file("test", out, "a file in the way");
  expect_refused("run " + model + io(npy), "expected a folder for outputs");
  EXPECT_EQ(read_file("test", out), "a file in the way");
  std::filesystem::remove(out);
  expect_refused("run " + model + " --inputs " + npy + " --outputs /proc/none", "'/proc/none', which cannot be made");
  // What killed processes left goes; what is locked is another's that still writes.
  std::string left = out + "/.tenon1-0", busy = out + "/.tenon1-1";
  for (const std::string& folder : {left, busy}) std::filesystem::create_directories(folder + "/parts");
  int lock = ::open(busy.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  EXPECT_EQ(tenon("run " + model + io(npy)).text, "");
  ::close(lock);
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_TRUE(std::filesystem::exists(busy));
  std::filesystem::remove_all(out);
  // A limit on the size of files fails a write as a full disk does.
  save_npy(npy + "/image.npy", pictures(2000));
  expect_says(shell("trap '' XFSZ; ulimit -f 8; TENON_CACHE_DIR=off " + kTenon + " run " + model + io(npy)), 1,
              "cannot be written");
  EXPECT_EQ(files_in(out), 0u);
}

TEST_F(Command, BudgetsHold) {
  engine::build(trace_network(Endless{}, {"y"}, NamedType{"x", Type::tensor(DType::f32, {})})).save(plan);
  save_npy(npy + "/x.npy", Tensor(1.0, DType::f32));
  expect_refused("run " + plan + io(npy) + " --timeout 0.3", "expected an end within");
  expect_refused("run " + model + io(npy) + " --timeout 0", "expected --timeout above 0");
  expect_refused("run " + model + io(npy) + " --timeout nan", "expected --timeout above 0, got nan");
  expect_refused("run " + model + io(npy) + " --memory -1", "expected --memory of at least 0");
  expect_refused("run " + model + io(npy) + " --memory nan", "expected --memory of at least 0");
  expect_refused("run " + model + io(npy) + " --memory 1e-9", "expected --memory of at least 1/64 GiB");
  EXPECT_EQ(tenon("run " + model + io(npy) + " --timeout inf --memory 1e30").text, "");
  std::filesystem::remove_all(out);
  save_npy(npy + "/image.npy", pictures(40000));
  expect_refused("run " + model + io(npy) + " --memory 0.02", "memory");
  EXPECT_FALSE(std::filesystem::exists(out + "/scores.npy"));
}

// ---------------------------------------------------------------- the others

TEST_F(Command, BuildIsReproducibleAndChecked) {
  ASSERT_EQ(tenon("build " + model + " --output " + plan).status, 0);
  std::string first = read_file("test", plan);
  ASSERT_EQ(shell("TENON_CACHE_DIR=off " + kTenon + " build " + model + " --output " + plan).status, 0);
  EXPECT_EQ(first, read_file("test", plan));
  ASSERT_EQ(tenon("build " + model + " --output " + plan + " --without fuse").status, 0);
  EXPECT_NE(first, read_file("test", plan));
  expect_says(tenon("inspect " + plan), 0, "# without pass fuse");
  std::string base = "build " + model + " --output " + folder / "other.plan";
  expect_refused(base + " --without nothing", "expected a pass that can be switched off (fold,");
  expect_refused(base + " --profile batch", "expected NAME=VALUE");
  expect_refused(base + " --profile batch=1:2", "expected a profile NAME=MIN:OPT:MAX");
  expect_refused(base + " --profile batch=1:x:3", "expected a whole number, got 'x'");
  expect_refused(base + " --profile rows=1:2:3", "expected a profile for a size of the network (batch), got 'rows'");
  expect_refused("build " + model + " --output " + folder / "none/x.plan", "cannot be created");
  EXPECT_FALSE(std::filesystem::exists(folder / "other.plan"));
  Ran passes = tenon("passes");
  EXPECT_LT(passes.text.find("fold"), passes.text.find("expand"));
  EXPECT_LT(passes.text.find("expand"), passes.text.find("fuse"));
}

TEST_F(Command, InspectShowsModelsAndPlans) {
  ASSERT_EQ(tenon("build " + model + " --output " + plan + " --profile batch=2").status, 0);
  expect_says(tenon("inspect " + model), 0, "# input %0 = image\n");
  expect_says(tenon("inspect " + plan), 0, "# size batch from 2 to 2, best at 2\nplan(f32[batch, 1, 6, 6])");
  expect_says(tenon("inspect " + plan + " --graph"), 0, "softmax");
  auto of_model = nlohmann::json::parse(tenon("inspect " + model + " --format json").text);
  EXPECT_EQ(of_model.at("inputs")[0].at("name"), "image");
  EXPECT_GT(of_model.at("nodes").size(), 5u);
  auto conv = std::ranges::find(of_model.at("nodes"), "conv", [](const auto& n) { return n.at("op"); });
  EXPECT_EQ(conv->at("attributes").at("strides"), "[1, 1]");
  auto of_plan = nlohmann::json::parse(tenon("inspect " + plan + " --format json").text);
  EXPECT_EQ(of_plan.at("profiles")[0].at("max"), 2);
  EXPECT_GT(of_plan.at("instructions").size(), 1u);
  EXPECT_EQ(of_plan.at("passes")[0].at("name"), "fold");
  for (const std::string& file : {model, plan}) {
    ASSERT_EQ(tenon("inspect " + file + " --format svg --output " + folder / "p.svg").text, "");
    std::string svg = read_file("test", folder / "p.svg");
    EXPECT_TRUE(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
    EXPECT_NE(svg.find(">image</text>"), std::string::npos);
    EXPECT_NE(svg.find(">scores</text>"), std::string::npos);
    EXPECT_NE(svg.find("<line"), std::string::npos);
  }
  expect_says(tenon("inspect " + plan + " --format xml"), 1, "--format");
}

TEST_F(Command, BenchGivesPercentiles) {
  ASSERT_EQ(tenon("build " + model + " --output " + plan + " --profile batch=1:4:16").status, 0);
  for (const std::string& what : {plan, model + " --size batch=4", plan + " --inputs " + npy}) {
    auto j = nlohmann::json::parse(tenon("bench " + what + " --runs 7 --json").text);
    EXPECT_EQ(j.at("runs"), 7);
    EXPECT_LE(j.at("min_ms"), j.at("p50_ms"));
    EXPECT_LE(j.at("p50_ms"), j.at("p90_ms"));
    EXPECT_LE(j.at("p90_ms"), j.at("p99_ms"));
    EXPECT_LE(j.at("p99_ms"), j.at("max_ms"));
    EXPECT_TRUE(j.at("inputs").at("image").get<std::string>().ends_with(", 1, 6, 6]"));
  }
  auto j = nlohmann::json::parse(tenon("bench " + plan + " --runs 1 --json").text);
  EXPECT_EQ(j.at("inputs").at("image"), "f32[4, 1, 6, 6]");  // as the profile wants it
  expect_says(tenon("bench " + plan + " --seconds 0.01"), 0, "p99_ms");
  expect_refused("bench " + plan + " --size rows=4", "expected a size of the inputs, got 'rows'");
  expect_refused("bench " + plan + " --size batch=99 --runs 1", "expected size 'batch' from 1 to 16, got 99");
  expect_refused("bench " + plan + " --seconds 0", "expected --seconds above 0");
}

TEST_F(Command, CompareTellsDifferences) {
  ASSERT_EQ(tenon("build " + model + " --output " + plan).status, 0);
  for (const std::string& file : {model, plan}) {
    Ran r = tenon("compare " + file + " --inputs " + npy);
    expect_says(r, 0, "scores max_abs_diff ");
    EXPECT_LT(std::stod(r.text.substr(r.text.rfind(' '))), 1e-5);
  }
  save_npy(npy + "/image.npy", x / 0.0);  // the same NaN on both sides is no difference
  expect_says(tenon("compare " + model + " --inputs " + npy), 0, "max_abs_diff 0\n");
}

TEST_F(Command, PluginsServeEveryCommand) {
  load_plugin(SWOOSH);
  Network bent = net.replace_last("relu", "swoosh", {{"beta", 1.5}});
  export_onnx(bent, model);
  expect_refused("run " + model + io(npy), "swoosh");
  std::string plugin = std::string(" --plugin ") + SWOOSH;
  EXPECT_EQ(tenon("run " + model + io(npy) + plugin).text, "");
  want = bent(std::vector{x})[0];
  expect_answer();
  expect_refused("build " + model + " --output " + plan, "swoosh");
  ASSERT_EQ(tenon("build " + model + " --output " + plan + plugin).status, 0);
  expect_refused("run " + plan + io(npy), "swoosh");
  EXPECT_EQ(tenon("run " + plan + io(npy) + plugin).text, "");
  expect_answer();
  expect_refused("run " + model + io(npy) + " --plugin " + model, "expected a shared library that can be opened");
}

// ---------------------------------------------------------------- names and places

struct Twins {
  std::vector<Tensor> operator()(const Tensor& a, const Tensor& b) const { return {a + b, a - b}; }
};

/// `/` is `_` in a file's name, so two names may want one file.
TEST_F(Command, NamesThatShareAFileAreRefused) {
  Type type = Type::tensor(DType::f32, {2});
  auto write = [&](const char* first, const char* second, std::vector<std::string> outputs) {
    export_onnx(trace_network(Twins{}, outputs, NamedType{first, type}, NamedType{second, type}), model);
  };
  Tensor one = ones({2});
  save_npy(npy + "/a_b.npy", one);
  save_npy(npy + "/c.npy", one);
  write("a/b", "a_b", {"y", "z"});
  expect_refused("run " + model + io(npy), "a_b.npy' for both 'a/b' and 'a_b'; give them as input_N.pb");
  write("a/b", "c", {"y/1", "y_1"});
  expect_refused("run " + model + io(npy), "got 'y/1' and 'y_1', both y_1.npy; give the inputs as input_N.pb");
  EXPECT_FALSE(std::filesystem::exists(out));
  write_pb(pb + "/input_0.pb", one);
  write_pb(pb + "/input_1.pb", one);
  EXPECT_EQ(tenon("run " + model + io(pb)).text, "");
  EXPECT_EQ(files_in(out), 2u);
  write("a/b", "c", {"y", "z"});
  std::filesystem::create_directory(out + "/z.npy");
  expect_refused("run " + model + io(npy), "expected a place for a file, got a folder");
  EXPECT_FALSE(std::filesystem::exists(out + "/y.npy"));
  write_file("test", pb + "/input_1.pb", "no tensor");
  expect_refused("run " + model + io(pb), "pb/input_1.pb': ");
}

TEST_F(Command, PipesAndLinksStayWhatTheyAre) {
  std::string pipe = folder / "pipe", link = folder / "link.plan";
  ASSERT_EQ(shell("mkfifo " + pipe).status, 0);
  expect_refused("run " + pipe + io(npy), "is no regular file");
  Ran r = shell("cat " + pipe + " & " + kTenon + " inspect " + model + " --output " + pipe + "; wait");
  expect_says(r, 0, "# input %0 = image");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  std::filesystem::create_symlink("model.plan", link);
  ASSERT_EQ(tenon("build " + model + " --output " + link).status, 0);
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(tenon("run " + plan + io(npy)).text, "");
}

TEST_F(Command, AFullStandardOutputIsAnError) {
  for (const char* what : {"ops", "version", "passes"})
    expect_says(shell(kTenon + " " + std::string(what) + " 2>&1 >/dev/full"), 1, "standard output cannot be written");
  expect_says(shell(kTenon + " inspect " + model + " 2>&1 >/dev/full"), 1, "standard output cannot be written");
}

// ---------------------------------------------------------------- sizes

/// y = x + z, sizes n and k: ONNX looks at them when it runs.
onnx::ModelDef sum_of_sizes() {
  onnx::ModelDef m = onnx::samples::model({onnx::samples::node("Add", {"x", "z"}, {"y"})});
  m.graph.inputs = {onnx::samples::info("x", onnx::Element::float32, {0}),
                    onnx::samples::info("z", onnx::Element::float32, {0})};
  for (size_t i = 0; i < 2; ++i)
    m.graph.inputs[i].type.shape[0] = {onnx::TypeInfo::Extent::Kind::name, 0, i ? "k" : "n"};
  return m;
}

TEST_F(Command, SizesOfOneRunAreNumbersWhereTheyHaveToBe) {
  write_file("test", model, onnx::encode_model(sum_of_sizes()));
  save_npy(npy + "/x.npy", ones({3}));
  save_npy(npy + "/z.npy", ones({1}));
  EXPECT_EQ(tenon("run " + model + io(npy)).text, "");
  EXPECT_EQ(load_npy(out + "/y.npy").to_vector(), (std::vector<double>{2, 2, 2}));
  expect_refused("build " + model + " --output " + plan, "--profile NAME=SIZE");
  expect_refused("build " + model + " --output " + plan + " --profile k=1 --profile m=2",
                 "expected a profile for a size of the network (n), got 'm'");
  ASSERT_EQ(tenon("build " + model + " --output " + plan + " --profile k=1 --profile n=1:2:4").status, 0);
  EXPECT_EQ(tenon("run " + plan + io(npy)).text, "");
  EXPECT_EQ(load_npy(out + "/y.npy").to_vector(), (std::vector<double>{2, 2, 2}));
  save_npy(npy + "/z.npy", ones({2}));
  expect_refused("run " + model + io(npy), "expected shapes that broadcast, got f32[2] against 3");
}

/// y = x - w, where w has an initializer that a file may stand in for: files are counted by the contract.
TEST_F(Command, FilesStandForBackedInputsOnlyWhenAllAreGiven) {
  using onnx::samples::floats, onnx::samples::info, onnx::samples::node;
  onnx::ModelDef m = onnx::samples::model({node("Sub", {"x", "w"}, {"y"})}, {floats("w", {2}, {10, 20})});
  m.graph.inputs = {info("w", onnx::Element::float32, {2}), info("x", onnx::Element::float32, {2})};
  m.graph.outputs = {info("y", onnx::Element::float32, {2})};
  write_file("test", model, onnx::encode_model(m));
  write_pb(pb + "/input_0.pb", tensor({1.0f, 2.0f}));
  EXPECT_EQ(tenon("run " + model + io(pb)).text, "");  // one file: x, which nothing backs
  EXPECT_EQ(read_pb(out + "/output_0.pb").get(1), -18);
  write_pb(pb + "/input_1.pb", tensor({5.0f, 7.0f}));
  EXPECT_EQ(tenon("run " + model + io(pb)).text, "");  // as many as inputs: w, x
  EXPECT_EQ(read_pb(out + "/output_0.pb").get(1), 5);
}

/// A .npy file stands for the input of its name alone: others keep their initializers.
TEST_F(Command, NamedFilesStandForTheirInputAlone) {
  using onnx::samples::floats, onnx::samples::info, onnx::samples::node;
  onnx::ModelDef m = onnx::samples::model({node("Sub", {"x", "w"}, {"t"}), node("Add", {"t", "b"}, {"y"})},
                                          {floats("w", {2}, {10, 20}), floats("b", {2}, {1, 2})});
  for (const char* name : {"w", "b", "x"}) m.graph.inputs.push_back(info(name, onnx::Element::float32, {2}));
  m.graph.inputs.erase(m.graph.inputs.begin());
  write_file("test", model, onnx::encode_model(m));
  save_npy(npy + "/x.npy", tensor({1.0f, 2.0f}));
  save_npy(npy + "/w.npy", tensor({3.0f, 5.0f}));
  EXPECT_EQ(tenon("run " + model + io(npy)).text, "");
  EXPECT_EQ(load_npy(out + "/y.npy").to_vector(), (std::vector<double>{-1, -1}));
  // All of them backed: what is written is of the kind that was read.
  m.graph.nodes = {node("Sub", {"b", "w"}, {"y"})};
  m.graph.inputs.pop_back();
  write_file("test", model, onnx::encode_model(m));
  std::filesystem::remove_all(out);
  EXPECT_EQ(tenon("run " + model + io(npy)).text, "");
  EXPECT_EQ(load_npy(out + "/y.npy").to_vector(), (std::vector<double>{-2, -3}));
}

/// TopK of fewer elements than k: the model fits, the sizes of this run do not.
TEST_F(Command, SizesThatDoNotFitAreRefused) {
  onnx::ModelDef m = onnx::samples::model({onnx::samples::node("TopK", {"x", "k"}, {"y", "at"})},
                                          {onnx::samples::ints("k", {1}, {2})});
  m.graph.inputs = {onnx::samples::info("x", onnx::Element::float32, {0})};
  m.graph.inputs[0].type.shape[0] = {onnx::TypeInfo::Extent::Kind::name, 0, "n"};
  write_file("test", model, onnx::encode_model(m));
  save_npy(npy + "/x.npy", ones({1}));
  expect_says(tenon("build " + model + " --output " + plan), 0, "instructions for");
  for (const std::string& file : {model, plan}) expect_refused("run " + file + io(npy), "with n = 1");
  save_npy(npy + "/x.npy", ones({3}));
  for (const std::string& file : {model, plan}) EXPECT_EQ(tenon("run " + file + io(npy)).text, "");
}

TEST(CommandLine, HelpsAndRefuses) {
  EXPECT_TRUE(tenon("version").text.starts_with("tenon "));
  expect_says(tenon("--help"), 0, "inspect");
  expect_says(tenon("run --help"), 0, "--timeout");
  expect_says(tenon(""), 1, "tenon: A subcommand is required; see tenon --help");
  EXPECT_TRUE(tenon("--version").text.starts_with("tenon "));
  Ran unknown = tenon("run model --inputs a --outputs b --no-such-option");
  EXPECT_EQ(unknown.text, "tenon: The following argument was not expected: --no-such-option; see tenon run --help\n");
  expect_says(tenon("bench model --runs -1"), 1, "expected --runs of at least 0, got -1");
  expect_says(tenon("fly"), 1, "tenon: expected a command (run, build,");
  expect_says(tenon("run"), 1, "required");
  expect_says(tenon("ops"), 0, "matmul\t");
  EXPECT_GE(nlohmann::json::parse(tenon("ops --json").text).size(), 60u);
}

}  // namespace
}  // namespace tn
