// What stands behind engine::Plan, shared by building, storing and running.
#pragma once
#include <mutex>

#include "engine/plan_file.h"
#include "ir/named_graph.h"
#include "runtime/plan.h"

namespace tn::engine {

class PlanState {
 public:
  std::vector<NamedType> inputs, outputs;
  std::vector<ShapeProfile> profiles;
  std::vector<std::string> without;  // passes switched off
  PlanPtr plan;
  std::string note;
  std::string isa = "none";  // what its machine code is for

  /// The graph it was built from; read out of the file when first asked for.
  const NamedGraph& network() const;

 private:
  friend std::shared_ptr<PlanState> build_plan(NamedGraph net, const BuildOptions& options);
  friend std::shared_ptr<const PlanState> open_plan(std::string_view, std::shared_ptr<void>, const std::string&, bool);
  mutable std::once_flag read_;
  mutable NamedGraph net_;
  std::string name_;
  PlanFile file_;
};

/// Names and types together; Error where one has no other.
std::vector<NamedType> named(const std::vector<std::string>& names, std::span<const Type> types);
/// What a build does, in order.
std::vector<PassInfo> build_passes();
/// Optimises and compiles for this machine.
std::shared_ptr<PlanState> build_plan(NamedGraph net, const BuildOptions& options);
/// Error naming the profile at fault.
void check_profiles(std::span<const NamedType> inputs, const std::vector<ShapeProfile>& profiles);

/// The plan in these bytes, which `owner` keeps; Plan::load on bytes. `name` is for errors.
std::shared_ptr<const PlanState> open_plan(std::string_view bytes, std::shared_ptr<void> owner, const std::string& name,
                                           bool recompile);
/// The bytes of its file, in pieces.
std::vector<std::string> stored_plan(const PlanState& state);

}  // namespace tn::engine
