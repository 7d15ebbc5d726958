#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <new>

#include "commands.h"
#include "tenon/version.h"

namespace {

void add_run(CLI::App& app) {
  auto* c = app.add_subcommand("run", "run a model once on a folder of inputs");
  auto o = std::make_shared<tn::app::RunOptions>();
  c->add_option("model", o->model, "ONNX model")->required();
  c->add_option("--inputs", o->inputs, "folder of input_N.pb or NAME.npy")->required();
  c->add_option("--outputs", o->outputs, "folder for output_N.pb or NAME.npy")->required();
  c->add_option("--plugin", o->plugins, "plugin library, may be given several times");
  c->add_option("--timeout", o->timeout_seconds, "seconds after which the run is given up")->capture_default_str();
  c->add_option("--memory", o->memory_gib, "GiB the run may take; 0: three quarters of the machine")
      ->capture_default_str();
  c->callback([o] { tn::app::run(*o); });
}

void add_compare(CLI::App& app) {
  auto* c = app.add_subcommand("compare", "run a model and the slow reference on the same inputs");
  auto o = std::make_shared<tn::app::CompareOptions>();
  c->add_option("model", o->model, "ONNX model")->required();
  c->add_option("--inputs", o->inputs, "folder of input_N.pb or NAME.npy")->required();
  c->add_option("--plugin", o->plugins, "plugin library, may be given several times");
  c->callback([o] { tn::app::compare(*o); });
}

void add_inspect(CLI::App& app) {
  auto* c = app.add_subcommand("inspect", "show what a model holds");
  auto o = std::make_shared<tn::app::InspectOptions>();
  c->add_option("model", o->model, "ONNX model")->required();
  c->add_option("--format", o->format, "text, json or svg")
      ->check(CLI::IsMember({"text", "json", "svg"}))
      ->capture_default_str();
  c->add_option("--output", o->output, "file; standard output when not given");
  c->add_option("--plugin", o->plugins, "plugin library, may be given several times");
  c->callback([o] { tn::app::inspect(*o); });
}

void add_small(CLI::App& app) {
  auto* ops = app.add_subcommand("ops", "list the ops");
  auto json = std::make_shared<bool>(false);
  ops->add_flag("--json", *json, "as JSON");
  ops->callback([json] { tn::app::list_ops(*json); });
  app.add_subcommand("version", "print the version")->callback([] { std::cout << "tenon " << tn::version() << "\n"; });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Tenon: models written, trained, read, optimised and run", "tenon");
  app.require_subcommand(1);
  add_run(app);
  add_compare(app);
  add_inspect(app);
  add_small(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& e) { return app.exit(e) ? 1 : 0; } catch (const std::bad_alloc&) {
    std::cerr << "tenon: [run] expected enough memory within the budget, got none; give --memory more GiB\n";
  } catch (const std::exception& e) { std::cerr << "tenon: " << e.what() << "\n"; }
  return 1;
}
