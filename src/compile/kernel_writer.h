// Writes one kernel of a group of nodes. A fused group is a function at(coords) -> tile: a value that lies in memory is
// a load, a scalar op its expression on its operands' tiles, a movement a substitution on the coordinates. What one
// kernel computes twice at the same place it computes once.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compile/node_set.h"
#include "ir/loops.h"
#include "ir/op_def.h"

namespace tn {

/// What kernels are written for: the interpreter takes wide tiles for maps, compiled code narrow ones. Reductions have
/// the same tiles in both.
struct Target {
  int map_lanes = 64;
  bool compiled = false;
  u32 passes_off = 0;     // bit i: the i-th of compiler_passes() is left out
  int vector_bits = 512;  // decides register tiles, never results
};

/// Where each value of a graph comes from.
struct GraphIndex {
  explicit GraphIndex(const Graph& g);
  static constexpr u32 kInput = ~0u;
  std::vector<u32> producer;            // by value: its node, kInput for inputs
  std::vector<std::vector<u32>> users;  // by value: nodes, each once
};

/// Thrown while a group is written: this value has to lie in memory first, so the group must be cut.
struct Refusal {
  u32 value;
  u32 movement = kNone;  // the outermost node that asked for it at another place
  static constexpr u32 kNone = ~0u;
};

/// f16 and bf16 compute in f32.
DType compute_dtype(DType d);

class KernelWriter {
 public:
  /// `computed`: the nodes of g that are part of the group; other values are read from memory.
  KernelWriter(const Graph& g, const GraphIndex& index, const NodeSet& computed, std::string name);

  const Graph& graph() const { return g_; }
  loops::Builder& builder() { return b_; }
  loops::Kernel& kernel() { return kernel_; }

  /// The tile that values are asked for: coordinates that hold l give `lanes` lanes, of which those below the limit
  /// count; likewise rows and r.
  struct TileContext {
    int rows = 1, lanes = 1;
    Dim row_limit = loops::Node::kNone, lane_limit = loops::Node::kNone;
  };
  void set_tile(const TileContext& t) { tile_ = t; }
  /// While set, what loads and stores of lanes will touch with `symbol` replaced by `next` is fetched ahead of time.
  void fetch_ahead(Dim symbol, Dim next) { ahead_ = {symbol, next}; }
  void fetch_nothing() { ahead_ = {}; }
  const TileContext& tile() const { return tile_; }

  /// The value's tile at the coordinates of its axes.
  loops::Val at(u32 value, std::span<const Dim> coords);
  /// The same where all limits hold, else the number; coordinates are only read inside the limits.
  loops::Val at_where(u32 value, std::span<const Dim> coords, std::span<const Reader::Limit> limits, double otherwise);
  /// Makes at(value, coords) give v from here on, while the loops around this place are open.
  void remember(u32 value, std::span<const Dim> coords, loops::Val v);
  /// From here on elements of the value are read where they were stored: `place` of their coordinates in this buffer;
  /// those that have none are made again.
  using Place = std::function<std::optional<Dim>(std::span<const Dim> coords)>;
  void keep(u32 value, int buffer, Place place) { kept_[value] = {buffer, std::move(place)}; }
  void keep_nothing() { kept_.clear(); }
  /// Stores a tile (rounded to the value's dtype) at the coordinates.
  void store(u32 value, std::span<const Dim> coords, loops::Val v, bool stream = false);

  /// The buffer of a value: read from or written to.
  int input_buffer(u32 value);
  int output_buffer(u32 value);
  /// Memory shared between the phases of this kernel.
  int temp(std::string name, DType dtype, Shape shape);
  /// For each buffer argument in order: the value, or nothing for temps.
  struct Argument {
    bool temp = false, written = false;
    u32 value = 0;
  };
  const std::vector<Argument>& arguments() const { return arguments_; }

  // Tile helpers.
  bool holds_lane(Dim d) const;
  bool holds_row(Dim d) const;
  /// A Dim as a tile of the current shape, whatever r and l do in it.
  loops::Val dim_tile(Dim d, DType dtype);
  /// Whether all limits hold, as a bool tile; nothing when that is proved.
  std::optional<loops::Val> condition(std::span<const Reader::Limit> limits);
  bool proved(Dim nonnegative);
  /// The tile with the current number of rows and lanes.
  loops::Val widened(loops::Val v, int rows, int lanes);
  /// Loads, where the offset is not affine in r and l as a gather.
  loops::Val load(int buffer, Dim offset);
  loops::Val gather(u32 value, std::span<const Dim> coords, int axis, loops::Val at);
  Dim index_of(u32 value, std::span<const Dim> coords, Dim extent);
  Dim offset_of(u32 value, std::span<const Dim> coords) const;

  /// The kernel; every free symbol in it is a size.
  loops::Kernel finish();

  /// While set, every Dim that addresses memory or enters a comparison is noted (see Space).
  void observe(std::vector<Dim>* seen) { observed_ = seen; }

 private:
  using Key = std::vector<u64>;
  struct Memo {
    loops::Val value;
    Dim symbol;
    loops::Val loop;  // innermost loop around it; -1 = none
  };
  void fetch(int buffer, Dim offset);
  loops::Val number_tile(Dim d);
  Dim simplified(Dim d);
  static Key key_of(u32 value, std::span<const Dim> coords, const TileContext& tile);
  std::optional<Memo> find(const Key& key);
  void note(std::span<const Dim> dims);
  void follow();
  loops::Val compute(u32 value, std::span<const Dim> coords);
  loops::Val scalar(const Node& n, const Scalar& rule, std::span<const Dim> coords);
  std::optional<loops::Val> literal(const Node& n);

  const Graph& g_;
  const GraphIndex& index_;
  const NodeSet& computed_;
  loops::Kernel kernel_;
  loops::Builder b_{kernel_};
  TileContext tile_;
  std::map<Key, Memo> memo_;
  std::map<u32, int> inputs_, outputs_;
  std::map<u32, std::pair<int, Place>> kept_;
  std::vector<Argument> arguments_;
  // Open loops and the bounds of their variables, found by reading the nodes appended since the last look.
  struct Open {
    loops::Val loop;
    size_t bounds;
  };
  size_t followed_ = 0;
  std::vector<Open> open_;
  std::vector<Bound> bounds_;
  std::vector<Dim>* observed_ = nullptr;
  std::pair<Dim, Dim> ahead_;
  u32 moving_ = Refusal::kNone;  // the outermost movement being computed
};

}  // namespace tn
