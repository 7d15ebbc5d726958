#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <new>

#include "commands.h"
#include "tenon/error.h"
#include "tenon/version.h"

namespace {

void add_run(CLI::App& app) {
  auto* c = app.add_subcommand("run", "run a model or plan once on a folder of inputs");
  auto o = std::make_shared<tn::app::RunOptions>();
  c->add_option("model", o->model, "ONNX model or plan file")->required();
  c->add_option("--inputs", o->inputs, "folder of input_N.pb or NAME.npy")->required();
  c->add_option("--outputs", o->outputs, "folder for output_N.pb or NAME.npy")->required();
  c->add_option("--plugin", o->plugins, "plugin library, may be given several times");
  c->add_option("--timeout", o->timeout_seconds, "seconds after which the run is given up")->capture_default_str();
  c->add_option("--memory", o->memory_gib, "GiB the run may take; 0: three quarters of the machine")
      ->capture_default_str();
  c->add_option("--report", o->report, "file for counts of what was done, as JSON");
  c->callback([o] { tn::app::run(*o); });
}

void add_compare(CLI::App& app) {
  auto* c = app.add_subcommand("compare", "run a model or plan and the slow reference on the same inputs");
  auto o = std::make_shared<tn::app::CompareOptions>();
  c->add_option("model", o->model, "ONNX model or plan file")->required();
  c->add_option("--inputs", o->inputs, "folder of input_N.pb or NAME.npy")->required();
  c->add_option("--plugin", o->plugins, "plugin library, may be given several times");
  c->callback([o] { tn::app::compare(*o); });
}

void add_inspect(CLI::App& app) {
  auto* c = app.add_subcommand("inspect", "show what a model or plan holds");
  auto o = std::make_shared<tn::app::InspectOptions>();
  c->add_option("model", o->model, "ONNX model or plan file")->required();
  c->add_option("--format", o->format, "text, json or svg")
      ->check(CLI::IsMember({"text", "json", "svg"}))
      ->capture_default_str();
  c->add_option("--output", o->output, "file; standard output when not given");
  c->add_flag("--graph", o->graph, "of a plan, the graph it was built from");
  c->add_option("--plugin", o->plugins, "plugin library, may be given several times");
  c->callback([o] { tn::app::inspect(*o); });
}

void add_build(CLI::App& app) {
  auto* c = app.add_subcommand("build", "build a plan file out of a model");
  auto o = std::make_shared<tn::app::BuildOptions>();
  c->add_option("model", o->model, "ONNX model")->required();
  c->add_option("--output", o->output, "plan file")->required();
  c->add_option("--profile", o->profiles, "NAME=MIN:OPT:MAX, what a size may be; may be given several times");
  c->add_option("--without", o->without, "pass to leave out (see `tenon passes`), may be given several times");
  c->add_option("--plugin", o->plugins, "plugin library, may be given several times");
  c->add_option("--report", o->report, "file for counts of what was done, as JSON");
  c->callback([o] { tn::app::build(*o); });
  app.add_subcommand("passes", "list what a build does, in order")->callback([] { tn::app::list_passes(); });
}

void add_bench(CLI::App& app) {
  auto* c = app.add_subcommand("bench", "time runs of a model or plan");
  auto o = std::make_shared<tn::app::BenchOptions>();
  c->add_option("model", o->model, "ONNX model or plan file")->required();
  c->add_option("--inputs", o->inputs, "folder of input_N.pb or NAME.npy; made up when not given");
  c->add_option("--size", o->sizes, "NAME=SIZE, for inputs made up; may be given several times");
  c->add_option("--runs", o->runs, "how many runs; 0: as many as --seconds allows")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  c->add_option("--seconds", o->seconds, "how long to measure")->capture_default_str();
  c->add_option("--plugin", o->plugins, "plugin library, may be given several times");
  c->add_flag("--json", o->json, "as JSON");
  c->callback([o] { tn::app::bench(*o); });
}

void add_small(CLI::App& app) {
  auto* ops = app.add_subcommand("ops", "list the ops");
  auto json = std::make_shared<bool>(false);
  ops->add_flag("--json", *json, "as JSON");
  ops->callback([json] { tn::app::list_ops(*json); });
  app.add_subcommand("version", "print the version")->callback([] { std::cout << "tenon " << tn::version() << "\n"; });
}

/// CLI11 says of an unknown command only that one is required.
void check_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::string known;
  for (const CLI::App* c : app.get_subcommands(nullptr)) {
    if (c->get_name() == argv[1]) return;
    known += (known.empty() ? "" : ", ") + c->get_name();
  }
  throw tn::Error("expected a command (" + known + "), got '" + argv[1] + "'; see tenon --help");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Tenon: models written, trained, read, optimised and run", "tenon");
  app.require_subcommand(1);
  add_run(app);
  add_build(app);
  add_bench(app);
  add_compare(app);
  add_inspect(app);
  add_small(app);
  try {
    check_command(app, argc, argv);
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& e) { return app.exit(e) ? 1 : 0; } catch (const std::bad_alloc&) {
    std::cerr << "tenon: [run] expected enough memory within the budget, got none; give --memory more GiB\n";
  } catch (const std::exception& e) { std::cerr << "tenon: " << e.what() << "\n"; }
  return 1;
}
