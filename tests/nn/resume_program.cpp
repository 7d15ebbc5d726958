// A training run with dropout and shuffling, for resume_test.py to kill.
//
//   resume_program CHECKPOINT STEPS [CALL NUMBER]
//
// With CALL (write, fsync or rename) the process kills itself inside the NUMBER-th such call on a file, a write after
// half of its bytes.
#include <fcntl.h>
#include <sys/syscall.h>
#include <tenon/checkpoint.h>
#include <tenon/data.h>
#include <tenon/jit.h>
#include <tenon/nn.h>
#include <tenon/optim.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>

namespace {

std::string fatal_call;
int calls_left = 0;

bool fatal(const char* call) { return fatal_call == call && --calls_left == 0; }

}  // namespace

// In the place of the C library's.
extern "C" ssize_t write(int file, const void* data, size_t size) {
  bool last = file > 2 && fatal("write");
  long n = syscall(SYS_write, file, data, last ? size / 2 : size);
  if (last) raise(SIGKILL);
  return n;
}
extern "C" int fsync(int file) {
  if (fatal("fsync")) raise(SIGKILL);
  return static_cast<int>(syscall(SYS_fsync, file));
}
extern "C" int rename(const char* from, const char* to) {
  if (fatal("rename")) raise(SIGKILL);
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

namespace tn {
namespace {

struct Net {
  nn::Linear fc1, fc2;
  nn::Dropout dropout;
  Tensor operator()(const Tensor& x, const Tensor& key) const { return fc2(dropout(relu(fc1(x)), key)); }
};

int train(const std::string& path, i64 steps) {
  nn::Keys keys(5);
  Net net{.fc1 = nn::linear(keys, 16, 64), .fc2 = nn::linear(keys, 64, 4), .dropout = {0.3}};
  optim::Adam adam = optim::adam(net);
  Tensor key = random::key(7);
  Tensor x = random::normal(keys.next(), {500, 16}), y = argmax(x(all, slice(0, 4)), {.axis = 1});
  data::Loader loader({x, y}, random::key(1), {.batch = 32});
  i64 start = load_checkpoint(path, net, adam, key).value_or(0);
  loader.seek(start);
  auto step = jit([](Net& n, optim::Adam& a, Tensor& k, const Tensor& images, const Tensor& labels) {
    Tensor both = random::split(k), now = both(1);
    k = both(0);
    auto loss_of = [&](const Net& m) { return nn::cross_entropy_loss(m(images, now), labels); };
    auto [loss, gradients] = value_and_grad(loss_of)(n);
    a.update(n, gradients);
    return loss;
  });
  for (i64 i = start; i < steps; ++i) {
    data::Batch batch = loader.next();
    step(net, adam, key, batch[0], batch[1]);
    if ((i + 1) % 5 == 0 || i + 1 == steps) save_checkpoint(path, i + 1, net, adam, key);
  }
  return 0;
}

}  // namespace
}  // namespace tn

int main(int argc, char** argv) try {
  if (argc == 5) fatal_call = argv[3], calls_left = std::atoi(argv[4]);
  return tn::train(argv[1], std::atoll(argv[2]));
} catch (const std::exception& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
