// What load_checkpoint takes and refuses. Killed runs are in resume_test.py.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <tenon/checkpoint.h>
#include <tenon/nn.h>
#include <tenon/optim.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace tn {
namespace {

struct Folder {
  Folder() { std::filesystem::create_directory(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path = testing::TempDir() + "tenon_checkpoint_" + std::to_string(getpid());
};

struct Training {
  nn::Linear fc;
  optim::Adam adam;
  Tensor key = random::key(1);
  static Training make(u64 seed, i64 out = 2) {
    nn::Keys keys(seed);
    Training run{.fc = nn::linear(keys, 3, out), .adam = {}};
    run.adam = optim::adam(run.fc);
    return run;
  }
};

template <class F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& e) { EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what(); }
}

TEST(Checkpoint, RoundTrip) {
  Folder folder;
  std::string path = folder.path + "/run.safetensors";
  Training a = Training::make(1), b = Training::make(2);
  EXPECT_EQ(load_checkpoint(path, a.fc, a.adam, a.key), std::nullopt);
  a.adam.update(a.fc, a.fc);
  save_checkpoint(path, 42, a.fc, a.adam, a.key);
  EXPECT_EQ(load_checkpoint(path, b.fc, b.adam, b.key), 42);
  for (size_t i = 0; i < leaves(a).size(); ++i)
    EXPECT_EQ(leaves(a)[i]->to_vector<double>(), leaves(b)[i]->to_vector<double>()) << i;
  save_checkpoint(path, 43, b.fc, b.adam, b.key);  // over the file its tensors are mapped from
  EXPECT_EQ(load_checkpoint(path, a.fc, a.adam, a.key), 43);
}

TEST(Checkpoint, RefusesAndLeavesEverything) {
  Folder folder;
  std::string path = folder.path + "/run.safetensors";
  Training a = Training::make(1), b = Training::make(2, 5);
  save_checkpoint(path, 1, a.fc, a.adam, a.key);
  std::vector<float> before = b.fc.weight.to_vector<float>();
  expect_error([&] { load_checkpoint(path, b.fc, b.adam, b.key); }, "expected '0.weight' f32[5, 3], got f32[2, 3]");
  expect_error([&] { load_checkpoint(path, a.fc, a.adam); }, "expected no tensor '2'");
  save(path, a.fc);
  expect_error([&] { load_checkpoint(path, a.fc); }, "tensors without a position; use load");
  for (const char* position : {"-1", "", "7 ", "99999999999999999999"}) {
    save(path, std::tie(a.fc), {{"tenon.position", position}});
    expect_error([&] { load_checkpoint(path, a.fc); }, "a position of at least 0");
  }
  std::ofstream(path) << "no checkpoint at all";
  expect_error([&] { load_checkpoint(path, a.fc); }, path);
  EXPECT_EQ(b.fc.weight.to_vector<float>(), before);
}

// What a killed process left goes; what is being written, which is locked, stays. The number of the process says
// nothing: it may be another host's.
TEST(Checkpoint, RemovesWhatKilledWritesLeft) {
  Folder folder;
  std::string path = folder.path + "/run.safetensors";
  pid_t dead = fork();
  if (dead == 0) _exit(0);
  waitpid(dead, nullptr, 0);
  auto leave = [&](const std::string& name) { std::ofstream(folder.path + "/" + name) << "half"; };
  leave("run.safetensors.part" + std::to_string(dead) + "-3");
  leave("run.safetensors.part" + std::to_string(getppid()) + "-0");
  leave("run.safetensors.part" + std::to_string(dead) + "-4");
  int writing = open((folder.path + "/run.safetensors.part" + std::to_string(dead) + "-4").c_str(), O_RDWR);
  ASSERT_EQ(flock(writing, LOCK_EX), 0);
  leave("run.safetensors.partial");
  leave("other.safetensors.part" + std::to_string(dead) + "-3");
  Training a = Training::make(1);
  save_checkpoint(path, 1, a.fc);
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path))
    names.insert(entry.path().filename().string());
  EXPECT_EQ(names, (std::set<std::string>{"run.safetensors", "run.safetensors.partial",
                                          "run.safetensors.part" + std::to_string(dead) + "-4",
                                          "other.safetensors.part" + std::to_string(dead) + "-3"}));
  close(writing);
}

}  // namespace
}  // namespace tn
