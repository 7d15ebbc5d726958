// Runs the backend cases that the onnx wheel ships: every model on its inputs, each in a process of its own with a time
// limit, outputs compared as the onnx package compares them (dtype and shape equal, rtol 1e-3, atol 1e-7; rtol 2e-3 for
// the light models, whole networks whose input is a ramp). Prints a line a case with --verbose, a table of reasons, and
// "N passed, N failed, N skipped".
//
//   backend_cases DATA [--report FILE] [--check FILE] [--minimum N] [--only TEXT] [--verbose]
//
// A case is skipped when Tenon refuses the model with a clear error, and failed when it answers wrongly, crashes or
// hangs.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "backend/ref/ref.h"
#include "base/file.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "onnx/tensors.h"
#include "runtime/execute.h"

namespace tn {
namespace {

namespace fs = std::filesystem;

constexpr int kSeconds = 60;

struct Outcome {
  enum class Kind : char { passed = 'P', skipped = 'S', failed = 'F' } kind;
  std::string reason;
};

std::vector<std::string> numbered(const fs::path& folder, const std::string& stem) {
  std::vector<std::string> files;
  for (int i = 0;; ++i) {
    fs::path p = folder / (stem + "_" + std::to_string(i) + ".pb");
    if (!fs::exists(p)) return files;
    files.push_back(p.string());
  }
}

const onnx::ValueInfo* nth(const std::vector<onnx::ValueInfo>& list, size_t i) {
  return i < list.size() ? &list[i] : nullptr;
}

onnx::ValueDef read_value(const std::string& path, const onnx::ValueInfo* info) {
  auto kind = info ? info->type.kind : onnx::TypeInfo::Kind::tensor;
  return onnx::decode_value(read_file("case", path), kind);
}

/// A light model is a file by itself, with its output beside it; other cases are folders.
bool is_light(const fs::path& model) { return model.parent_path().filename() == "light"; }

/// What the onnx package feeds a light model: 0 to 1 in equal steps; a dimension without a number is 1.
Array ramp(const onnx::ValueInfo& input) {
  std::vector<i64> shape;
  for (const auto& d : input.type.shape) shape.push_back(d.kind == onnx::TypeInfo::Extent::Kind::value ? d.value : 1);
  Array a = Array::empty(DType::f32, shape);
  for (i64 i = 0; i < a.size(); ++i) a.set(i, static_cast<double>(i) / static_cast<double>(a.size()));
  return a;
}

/// Empty when the arrays agree.
std::string difference(const Array& got, const Array& want, double rtol) {
  if (got.dtype != want.dtype)
    return "dtype " + std::string(name(got.dtype)) + " instead of " + std::string(name(want.dtype));
  if (got.shape != want.shape) return "another shape";
  for (i64 i = 0; i < got.size(); ++i) {
    if (!is_float(got.dtype)) {
      if (got.get_int(i) != want.get_int(i))
        return "element " + std::to_string(i) + " is " + std::to_string(got.get_int(i)) + " instead of " +
               std::to_string(want.get_int(i));
      continue;
    }
    double g = got.get(i), w = want.get(i);
    if (std::isnan(g) && std::isnan(w)) continue;
    if (g == w) continue;
    if (!(std::fabs(g - w) <= 1e-7 + rtol * std::fabs(w)))
      return "element " + std::to_string(i) + " is " + std::to_string(g) + " instead of " + std::to_string(w);
  }
  return "";
}

/// The model on `given` inputs, as many as files were there; outputs are compared with those of the files.
Outcome run_once(const onnx::ModelDef& model, const std::vector<Array>& given, const std::vector<std::string>& wanted,
                 const std::string& folder, double rtol) {
  std::set<std::string> backed;
  for (const auto& t : model.graph.initializers) backed.insert(t.name);
  onnx::ImportOptions options;
  options.folder = folder;
  std::vector<std::string> open;
  for (const auto& i : model.graph.inputs)
    if (!backed.contains(i.name)) open.push_back(i.name);
  bool whole = given.size() == model.graph.inputs.size();
  for (size_t i = 0; i < given.size(); ++i) {
    const auto* info = nth(model.graph.inputs, i);
    std::string name = whole || i >= open.size() ? (info ? info->name : "") : open[i];
    options.known_inputs.emplace(name, given[i]);
  }
  NamedGraph net = onnx::import_model(model, options);
  std::vector<Array> inputs;
  for (const std::string& n : net.inputs) {
    auto found = options.known_inputs.find(n);
    if (found == options.known_inputs.end()) return {Outcome::Kind::failed, "no file for input " + n};
    inputs.push_back(found->second);
  }
  std::vector<Array> outputs = execute(net.graph, inputs);
  for (size_t i = 0; i < wanted.size(); ++i) {
    onnx::ValueDef v = read_value(wanted[i], nth(model.graph.outputs, i));
    if (v.kind != onnx::TypeInfo::Kind::tensor) return {Outcome::Kind::skipped, "sequence or optional output"};
    std::string d = difference(outputs.at(i), onnx::array_of(v.tensor), rtol);
    if (!d.empty()) return {Outcome::Kind::failed, "output " + std::to_string(i) + ": " + d};
  }
  return {Outcome::Kind::passed, ""};
}

Outcome run_set(const onnx::ModelDef& model, const fs::path& set) {
  std::vector<Array> given;
  for (const std::string& file : numbered(set, "input")) {
    onnx::ValueDef v = read_value(file, nth(model.graph.inputs, given.size()));
    if (v.kind != onnx::TypeInfo::Kind::tensor) return {Outcome::Kind::skipped, "sequence or optional input"};
    given.push_back(onnx::array_of(v.tensor));
  }
  return run_once(model, given, numbered(set, "output"), set.parent_path().string(), 1e-3);
}

Outcome run_light(const onnx::ModelDef& model, const fs::path& path) {
  std::set<std::string> backed;
  for (const auto& t : model.graph.initializers) backed.insert(t.name);
  std::vector<Array> given;
  for (const auto& i : model.graph.inputs)
    if (!backed.contains(i.name)) given.push_back(ramp(i));
  auto wanted = numbered(path.parent_path(), path.stem().string() + "_output");
  if (wanted.empty()) return {Outcome::Kind::skipped, "no data"};
  return run_once(model, given, wanted, path.parent_path().string(), 2e-3);
}

Outcome run_case(const fs::path& path) {
  try {
    onnx::ModelDef model = onnx::decode_model(read_file("case", path.string()));
    if (is_light(path)) return run_light(model, path);
    Outcome all{Outcome::Kind::skipped, "no data"};
    for (const auto& entry : fs::directory_iterator(path.parent_path())) {
      if (!entry.is_directory() || !entry.path().filename().string().starts_with("test_data_set_")) continue;
      all = run_set(model, entry.path());
      if (all.kind != Outcome::Kind::passed) return all;
    }
    return all;
  } catch (const Error& e) { return {Outcome::Kind::skipped, e.what()}; } catch (const std::exception& e) {
    return {Outcome::Kind::failed, e.what()};
  }
}

/// In a child process, so that a crash or a hang is one case's.
Outcome guarded(const fs::path& model) {
  int ends[2];
  if (pipe(ends)) return {Outcome::Kind::failed, "no pipe"};
  pid_t child = fork();
  if (child == 0) {
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    Outcome o = run_case(model);
    if (ref_run_count() > 0) o = {Outcome::Kind::failed, "something ran on the reference"};
    std::string text(1, static_cast<char>(o.kind));
    text += o.reason;
    ssize_t written = write(ends[1], text.data(), text.size());
    _exit(written > 0 ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  pollfd p{ends[0], POLLIN, 0};
  bool late = false;
  char buffer[4096];
  for (;;) {
    if (poll(&p, 1, kSeconds * 1000) <= 0) {
      late = true;
      kill(child, SIGKILL);
      break;
    }
    ssize_t n = read(ends[0], buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (late) return {Outcome::Kind::failed, "hangs"};
  if (WIFSIGNALED(status)) return {Outcome::Kind::failed, "crashes with signal " + std::to_string(WTERMSIG(status))};
  if (text.empty()) return {Outcome::Kind::failed, "ends without an answer"};
  return {static_cast<Outcome::Kind>(text[0]), text.substr(1)};
}

/// What a message has in common with its like: the operator or the element type at fault.
std::string class_of(const std::string& reason) {
  auto between = [&](const std::string& from, const std::string& to) -> std::string {
    auto at = reason.find(from);
    if (at == reason.npos) return "";
    at += from.size();
    return reason.substr(at, reason.find_first_of(to, at) - at);
  };
  if (std::string op = between("an operator Tenon imports, got ", ";\n"); !op.empty())
    return "operator " + op + " has no converter";
  for (const char* start : {"an element type Tenon has, got ", "uint8 or bool, got "})
    if (std::string type = between(start, ";\n "); !type.empty()) return "element type " + type;
  if (reason.find("got a sequence, optional") != reason.npos) return "sequence, optional or map input";
  std::string line = reason.substr(0, reason.find('\n'));
  if (line.find("problem") != line.npos && reason.find('\n') != reason.npos) {
    line = reason.substr(reason.find('\n') + 3);
    line = line.substr(0, line.find('\n'));
  }
  if (auto at = line.rfind("): "); at != line.npos) line = line.substr(at + 3);
  if (auto at = line.rfind(" ("); at != line.npos && line.find(".cpp:", at) != line.npos) line.resize(at);  // the place
  return line.substr(0, 160);
}

int run(int argc, char** argv) {
  std::string data, report, check, only;
  int minimum = 0;
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    std::string a = argv[i];
    if (a == "--report" && i + 1 < argc)
      report = argv[++i];
    else if (a == "--check" && i + 1 < argc)
      check = argv[++i];
    else if (a == "--minimum" && i + 1 < argc)
      minimum = std::atoi(argv[++i]);
    else if (a == "--only" && i + 1 < argc)
      only = argv[++i];
    else if (a == "--verbose")
      verbose = true;
    else
      data = a;
  }
  std::vector<fs::path> cases;
  for (const auto& entry : fs::recursive_directory_iterator(data))
    if (entry.path().filename() == "model.onnx" || (is_light(entry.path()) && entry.path().extension() == ".onnx"))
      cases.push_back(entry.path());
  std::sort(cases.begin(), cases.end());
  int passed = 0, failed = 0, skipped = 0;
  std::map<std::string, std::vector<std::string>> skips;
  std::vector<std::string> failures;
  for (const auto& model : cases) {
    std::string name = (is_light(model) ? model.stem() : model.parent_path().filename()).string();
    if (!only.empty() && name.find(only) == name.npos) continue;
    Outcome o = guarded(model);
    if (verbose) std::printf("%c %s %s\n", static_cast<char>(o.kind), name.c_str(), o.reason.c_str());
    if (o.kind == Outcome::Kind::passed)
      ++passed;
    else if (o.kind == Outcome::Kind::skipped) {
      ++skipped;
      skips[class_of(o.reason)].push_back(name);
    } else {
      ++failed;
      failures.push_back(name + ": " + o.reason.substr(0, o.reason.find('\n')));
    }
  }
  std::vector<std::pair<size_t, std::string>> order;
  for (const auto& [reason, names] : skips) order.emplace_back(names.size(), reason);
  std::sort(order.rbegin(), order.rend());
  std::string text =
      "# Conformance\n\nGenerated by `tests/onnx/backend_cases.cpp --report`; the test of the same name fails when it "
      "is stale.\n\n"
      "## ONNX backend cases\n\nThe cases the onnx 1.22.0 wheel ships, run on the kernels that plans run (never on the "
      "reference). A case is skipped when Tenon refuses its model with an error that says why; it fails when the "
      "answer is "
      "wrong, or the process crashes or hangs.\n\n| cases | passed | failed | skipped |\n|---|---|---|---|\n| " +
      std::to_string(passed + failed + skipped) + " | " + std::to_string(passed) + " | " + std::to_string(failed) +
      " | " + std::to_string(skipped) + " |\n\n| skipped | because |\n|---|---|\n";
  for (const auto& [count, reason] : order) {
    std::string safe = reason;
    std::replace(safe.begin(), safe.end(), '|', '/');
    text += "| " + std::to_string(count) + " | " + safe + " |\n";
  }
  if (!failures.empty()) {
    text += "\n| failed | because |\n|---|---|\n";
    for (const std::string& f : failures)
      text += "| " + f.substr(0, f.find(':')) + " | " + f.substr(f.find(':') + 2) + " |\n";
  }
  text +=
      "\n## Our ops in ONNX files\n\nThey are written in ONNX's operators, directly or by expansion. These are not, "
      "nor "
      "what expands into them: their nodes are of our own domain, `ai.tenon`, which our importer reads back.\n\n"
      "| op | because ONNX has not |\n|---|---|\n";
  for (const auto& [op, why] : onnx::own_ops()) text += "| " + std::string(op) + " | " + std::string(why) + " |\n";
  text +=
      "\n## Our own tests\n\nNone is skipped on a machine with AVX2 and with the packages that `./dev setup` installs. "
      "Tests of machine code are skipped, with that reason, where LLVM or AVX2 is missing; those of two threads at "
      "work where the system gives no second thread; the one of a bounded address space under sanitizers, which need "
      "it themselves.\n";
  if (!report.empty()) write_file("report", report, text);
  if (report.empty() && check.empty()) std::fputs(text.c_str(), stdout);
  bool stale = !check.empty() && read_file("check", check) != text;
  if (stale) std::printf("%s is stale: write it again with --report\n", check.c_str());
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return passed >= minimum && failed == 0 && !stale ? 0 : 1;
}

}  // namespace
}  // namespace tn

int main(int argc, char** argv) { return tn::run(argc, argv); }
