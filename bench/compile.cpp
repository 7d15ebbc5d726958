// How long it takes until the demo's network runs: compiled with nothing cached, from the disk cache, as a plan. Each
// sample is a process of its own, forked before this one has any thread or cache.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "models.h"
#include "tenon/engine.h"
#include "tenon/error.h"

namespace tn::bench {

namespace {

/// A folder that goes away.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "tenon_bench_XXXXXX").string();
    if (!mkdtemp(name.data())) fail("bench", "expected to make a folder like " + name + ", could not");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// measure() in a forked process whose kernels are cached in `cache`.
double in_child(const std::string& cache, double (*measure)(const std::string&), const std::string& argument = "") {
  int ends[2];
  if (pipe(ends) != 0) fail("bench", "expected a pipe, got none");
  pid_t child = fork();
  if (child == 0) {
    double value = std::nan("");
    setenv("TENON_CACHE_DIR", cache.c_str(), 1);
    try {
      value = measure(argument);
    } catch (const std::exception& e) { std::fprintf(stderr, "%s\n", e.what()); }
    _exit(write(ends[1], &value, sizeof value) == sizeof value ? 0 : 1);
  }
  close(ends[1]);
  double value = std::nan("");
  bool answered = child > 0 && read(ends[0], &value, sizeof value) == sizeof value;
  close(ends[0]);
  if (child > 0) waitpid(child, nullptr, 0);
  if (!answered || std::isnan(value)) fail("bench", "expected a figure of a forked process, got none");
  return value;
}

/// The first train step, less a later one: tracing, differentiating, compiling or finding, planning memory.
double first_step_ms(const std::string&) {
  Net net = Net::make(nn::Keys(0));
  optim::Adam adam = optim::adam(net, {.lr = 1e-3});
  Tensor x = random::uniform(random::key(1), {128, 1, 28, 28}).eval();
  Tensor labels = (arange(128) % 10).eval();
  for (Tensor* t : leaves(net))
    if (t->defined()) t->eval();
  for (Tensor* t : leaves(adam))
    if (t->defined()) t->eval();
  auto step = train_step<Net, CnnLoss>();
  double start = now_ms();
  step(net, adam, x, labels);
  double first = now_ms() - start;
  std::vector<double> later;
  for (int i = 0; i < 3; ++i) {
    start = now_ms();
    step(net, adam, x, labels);
    later.push_back(now_ms() - start);
  }
  return first - median(later);
}

Network inference() {
  NamedType image{"image", Type::tensor(DType::f32, {Dim::symbol("batch"), 1, 28, 28})};
  Net net = Net::make(nn::Keys(0));
  for (Tensor* t : leaves(net))
    if (t->defined()) t->eval();
  return trace_network(net, {"logits"}, image);
}

engine::Plan build_plan(const Network& network) {
  return engine::build(network, {.profiles = {{"batch", 1, 128, 256}}});
}

double build_ms(const std::string&) {
  Network network = inference();
  double start = now_ms();
  engine::Plan plan = build_plan(network);
  return now_ms() - start;
}

double save_plan(const std::string& file) {
  build_plan(inference()).save(file);
  return 0;
}

double load_ms(const std::string& file) {
  double start = now_ms();
  engine::Plan plan = engine::Plan::load(file);
  return now_ms() - start;
}

/// The median of so many processes, each with an empty cache.
double cold_ms(double (*measure)(const std::string&), int samples) {
  std::vector<double> found;
  for (int i = 0; i < samples; ++i) {
    Folder folder;
    found.push_back(in_child(folder.file("cache"), measure));
  }
  return median(found);
}

double compile_cold_s() { return cold_ms(first_step_ms, 3) / 1e3; }
double plan_build_s() { return cold_ms(build_ms, 3) / 1e3; }

double compile_cached_ms() {
  Folder folder;
  std::vector<double> found;
  in_child(folder.file("cache"), first_step_ms);
  for (int i = 0; i < 7; ++i) found.push_back(in_child(folder.file("cache"), first_step_ms));
  return median(found);
}

double plan_load_ms() {
  Folder folder;
  std::vector<double> found;
  in_child("off", save_plan, folder.file("model.plan"));
  for (int i = 0; i < 15; ++i) found.push_back(in_child("off", load_ms, folder.file("model.plan")));
  return median(found);
}

}  // namespace

std::vector<Figure> compile_figures() {
  return {{"compile_cold", compile_cold_s},
          {"compile_cached", compile_cached_ms},
          {"plan_build", plan_build_s},
          {"plan_load", plan_load_ms}};
}

}  // namespace tn::bench
