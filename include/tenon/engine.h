// The engine: a network is built once into a plan (optimised, compiled, its memory laid out), a plan is saved and
// mapped back in another process, and contexts run it, many at once.
//
//   engine::Plan plan = engine::build(network, {.profiles = {{"batch", 1, 64, 256}}});
//   plan.save("model.plan");
//   engine::Context context(engine::Plan::load("model.plan"));
//   std::vector<Tensor> outputs = context.run({image});
#pragma once
#include "tenon/network.h"

namespace [[gnu::visibility("default")]] tn {
namespace engine {

class PlanState;

/// The range of a named size: the plan accepts min to max and is tuned for opt.
struct ShapeProfile {
  std::string name;
  i64 min = 1, opt = 1, max = 1;
};

struct BuildOptions {
  std::vector<ShapeProfile> profiles = {};
  /// Names of passes to leave out.
  std::vector<std::string> without = {};
};

/// An executable form of a network. Immutable; copies share it.
class Plan {
 public:
  explicit Plan(std::shared_ptr<const PlanState> state);
  /// Maps a plan file. Its structure is verified, its machine code is trusted as that of a shared library is. Error
  /// naming the file and the fault: no plan, truncated, damaged, of another format version. On another CPU the kernels
  /// are compiled again, or interpreted where LLVM is absent; `note()` says so. `recompile` uses the graph alone.
  static Plan load(const std::string& path, bool recompile = false);
  /// Writes the plan, atomically. The bytes depend on the network, the options and the CPU alone.
  void save(const std::string& path) const;

  const std::vector<NamedType>& inputs() const;
  const std::vector<NamedType>& outputs() const;
  const std::vector<ShapeProfile>& profiles() const;
  /// The network it was built from.
  Network network() const;
  /// Slots and instructions as text.
  std::string text() const;
  /// What a user should know of how it runs; empty when there is nothing.
  const std::string& note() const;
  const PlanState& state() const { return *state_; }

 private:
  std::shared_ptr<const PlanState> state_;
};

/// Optimises and compiles. Error: an op that cannot be compiled, a profile for a size the network has not.
Plan build(const Network& network, const BuildOptions& options = {});

/// One execution of a plan at a time; cheap to make. Different contexts of one plan may run at once.
class Context {
 public:
  explicit Context(Plan plan);
  Context(Context&&) noexcept;
  Context& operator=(Context&&) noexcept;
  ~Context();

  /// Runs on tensors. Error naming the input: wrong dtype, rank, extent, or a size outside its profile.
  std::vector<Tensor> run(std::span<const Tensor> inputs);
  std::vector<Tensor> run(std::initializer_list<Tensor> inputs) {
    return run(std::span<const Tensor>(inputs.begin(), inputs.size()));
  }

  /// Memory of the user's for an input or output, of at least the bytes its shape needs, kept until it is bound again.
  /// It is used in place where it is aligned to 64 bytes, else copied.
  void bind_input(std::string_view name, const void* data, std::span<const i64> shape);
  void bind_output(std::string_view name, void* data, size_t bytes);
  /// Runs on what is bound; allocates nothing once the same shapes have been run.
  void run();
  /// The shape an output has after run().
  std::vector<i64> output_shape(std::string_view name) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace engine
}  // namespace tn
