// Without libFuzzer: every seed as it is, then mutations of seeds for a while, the same at every run as far as time
// goes. A finding is written to a file before the process ends.
//
//   fuzzer TARGET SEEDS [MORE_FILES ...] [--seconds N] [--findings FOLDER]
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/sanitizer.h"
#include "targets.h"
#include "tenon/dtype.h"

/// The sanitizer's shadow is larger than any limit of the address space, so the sanitizer itself counts.
extern "C" const char* __asan_default_options() {  // NOLINT(bugprone-reserved-identifier): its name
  return "max_allocation_size_mb=1024:hard_rss_limit_mb=2048";
}

namespace tn::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kSecondsEach = 10;
constexpr rlim_t kMostMemory = rlim_t{2} << 30;
constexpr size_t kLongest = size_t{1} << 16;

std::string current, findings = ".";

std::string finding;  // where it is kept, made before anything can go wrong

void put(int file, const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = ::write(file, data, size);
    if (n <= 0) return;
    data += n;
    size -= static_cast<size_t>(n);
  }
}

/// Keeps the input at fault. Only what a signal handler may call.
void keep(int signal) {
  int file = ::open(finding.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0) put(file, current.data(), current.size());
  char text[] = "signal 00; the input is in ";
  text[7] = static_cast<char>('0' + signal / 10 % 10);
  text[8] = static_cast<char>('0' + signal % 10);
  put(STDERR_FILENO, text, sizeof text - 1);
  put(STDERR_FILENO, finding.data(), finding.size());
  put(STDERR_FILENO, "\n", 1);
  _exit(1);
}

class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, const Target& target) : seeds_(std::move(seeds)), target_(target) {}

  std::string next() {
    std::string s = seeds_[below(seeds_.size())];
    if (target_.mutated && below(8)) return target_.mutated(s, random_.next());
    for (size_t n = size_t{1} << below(4); n > 0; --n) change(s);
    if (s.size() > kLongest) s.resize(kLongest);
    return s;
  }

 private:
  size_t below(size_t n) { return random_.below(n); }

  void change(std::string& s) {
    size_t at = below(s.size()), n = 1 + below(std::min<size_t>(s.size() - at, 16));
    switch (s.empty() ? 7 : below(9)) {
      case 0: s[at] = static_cast<char>(s[at] ^ 1 << below(8)); break;
      case 1: s[at] = static_cast<char>(random_.next()); break;
      case 2: s.resize(at); break;
      case 3: s.erase(at, n); break;
      case 4: s.insert(below(s.size()), s.substr(at, n)); break;
      case 5: number(s, at); break;
      case 6: digits(s, at); break;
      case 7: splice(s); break;
      default: s.insert(at, 1 + below(8), static_cast<char>(random_.next()));
    }
  }

  /// A number at the edge of its width.
  void number(std::string& s, size_t at) {
    constexpr u64 kEdges[] = {0, 1, 0x7F, 0x80, 0x7FFF, 0x7FFFFFFF, 0x80000000, 0x7FFFFFFFFFFFFFFF, ~u64{0}};
    u64 v = kEdges[below(std::size(kEdges))];
    size_t width = size_t{1} << below(4);
    std::memcpy(&s[at], &v, std::min(width, s.size() - at));
  }

  /// The number written at or after `at` becomes another.
  void digits(std::string& s, size_t at) {
    constexpr const char* kEdges[] = {"0", "-1", "1", "2147483648", "9223372036854775807", "99999999999999999999"};
    size_t from = s.find_first_of("0123456789", at);
    if (from == s.npos) return;
    size_t to = std::min(s.find_first_not_of("0123456789", from), s.size());
    s.replace(from, to - from, kEdges[below(std::size(kEdges))]);
  }

  /// The head of this, the tail of another seed.
  void splice(std::string& s) {
    const std::string& other = seeds_[below(seeds_.size())];
    s = s.substr(0, below(s.size() + 1)) + other.substr(below(other.size()));
  }

  std::vector<std::string> seeds_;
  const Target& target_;
  Random random_{1};
};

void run(const Target& target, const std::vector<std::string>& places, double seconds) {
  std::vector<std::string> seeds;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(places[0])) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  files.insert(files.end(), places.begin() + 1, places.end());
  for (const fs::path& path : files) {
    seeds.push_back(current = read_file("fuzz", path.string()));
    alarm(kSecondsEach);
    attempt(target, current);
  }
  size_t refused = 0;
  for (const auto& [name, bytes] : target.seeds()) {  // of today's format, whatever that of the files is
    seeds.push_back(current = bytes);
    alarm(kSecondsEach);
    bool good = attempt(target, current);
    refused +=
        !good && !name.starts_with("bad") && std::printf("%s: expected to be read, is refused\n", name.c_str()) > 0;
  }
  if (refused) std::exit(1);
  Mutator mutator(seeds, target);
  size_t runs = 0, accepted = 0;
  using Clock = std::chrono::steady_clock;
  for (auto start = Clock::now(); std::chrono::duration<double>(Clock::now() - start).count() < seconds; ++runs) {
    current = mutator.next();
    alarm(kSecondsEach);
    accepted += attempt(target, current);
  }
  std::printf("%zu seeds, %zu mutations, %zu of them accepted\n", seeds.size(), runs, accepted);
}

/// What the arguments ask for; false when they make no sense.
bool run(int argc, char** argv) {
  const Target* target = argc > 2 ? find_target(argv[1]) : nullptr;
  double seconds = 10;
  std::vector<std::string> places;
  for (int i = 2; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--seconds") && i + 1 < argc)
      seconds = std::atof(argv[++i]);
    else if (!std::strcmp(argv[i], "--findings") && i + 1 < argc)
      findings = argv[++i];
    else
      places.emplace_back(argv[i]);
  }
  if (!target || places.empty()) return false;
  finding = findings + "/finding";
  for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM}) std::signal(s, keep);
  rlimit limit{kMostMemory, kMostMemory};
  if (!kSanitized) setrlimit(RLIMIT_AS, &limit);  // who asks for more gets bad_alloc, which no reader catches
  run(*target, places, seconds);
  return true;
}

}  // namespace
}  // namespace tn::fuzz

int main(int argc, char** argv) {
  if (tn::fuzz::run(argc, argv)) return 0;
  std::fprintf(stderr, "usage: fuzzer TARGET SEEDS [MORE_FILES ...] [--seconds N] [--findings FOLDER]\n");
  return 1;
}
