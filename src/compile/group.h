// Group: nodes of a graph that become one kernel, and how it is lowered. Kernels come in families: maps (each element
// on its own), rows (passes over trailing axes with reductions between them), columns (reductions over leading axes),
// and one anchor node with what is fused around it (contraction, prefix, argmax).
//
// The order of every reduction is a function of the op's operand shape and axes alone, so that fusion, threads, tiers
// and a read in between never change bits:
//   rows     element k of the reduced axes goes to lane k mod 64, in order; lanes fold by halving. More than 16,384
//            elements: chunks of that many, their results reduced as a row again.
//   planes   leading and trailing axes around kept ones: each leading index is a row, 16 of them share accumulators;
//            the results of the chunks are reduced as a row.
//   columns  chunks of 64 rows, each summed from its first to its last; then the chunks in order.
//   contraction  one fma chain for each result, reduction symbols as nested loops in the order the op gives them.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "compile/kernel_writer.h"

namespace tn {

struct Group {
  enum class Kind : u8 { map, rows, columns, contraction, attention, prefix, arg };
  Kind kind = Kind::map;
  NodeSet computed;
  std::vector<u32> outputs;  // values stored
  u32 anchor = 0;            // the node a contraction, prefix or argmax is about; a reduction of rows and columns
  bool operator==(const Group&) const = default;
};

struct Lowered {
  std::string label;  // family, ops and results, for people
  loops::Kernel kernel;
  std::vector<KernelWriter::Argument> arguments;
};

/// Throws Refusal when a value has to lie in memory first.
Lowered lower_group(const Graph& g, const GraphIndex& index, const Group& group, const Target& target);

inline constexpr i64 kRowLanes = 64, kRowChunk = 16384, kPlaneChunk = 16, kColumnChunk = 64;

/// How a reduction of rows walks its operand: leading and trailing axes are reduced, those between them kept.
struct RowAxes {
  size_t lead = 0, trail = 0;  // none trailing: not rows but columns
  bool operator==(const RowAxes&) const = default;
};
RowAxes row_axes(std::span<const i64> axes, size_t rank);
/// The kept extents of a shape walked so.
std::span<const Dim> kept_extents(std::span<const Dim> shape, RowAxes a);

// ---------------------------------------------------------------- shared by the families

using Coords = std::vector<Dim>;

/// The place `flat` of a dense row-major index space as coordinates; offsets that run over it in order simplify to
/// flat.
Coords coordinates(Dim flat, std::span<const Dim> extents);
/// How many trailing axes may be walked as one: every Dim that `probe` shows depends on them as on one flat index.
int merged_axes(const Graph& g, const GraphIndex& index, const Group& group, std::span<const Dim> extents,
                const std::function<void(KernelWriter&, std::span<const Dim>)>& probe);

/// Calls f(base, limit, carries) for blocks of `lanes` of [0, extent), the last one maybe under a limit; sets the
/// writer's tile.
using BlockBody = std::function<std::vector<loops::Val>(Dim base, std::span<const loops::Val> carries)>;
std::vector<loops::Val> blocks(KernelWriter& w, Dim extent, int lanes, std::span<const loops::Val> initial,
                               const BlockBody& body);

/// A way of combining: two tiles, its neutral element, all lanes.
struct Combine {
  std::string_view name;
  loops::ScalarOp op() const;
  loops::Val neutral(loops::Builder& b, DType dtype, int rows, int lanes) const;
  loops::Val join(loops::Builder& b, loops::Val a, loops::Val x) const;
  loops::Val fold(loops::Builder& b, loops::Val acc) const;
};
/// Keeps `acc` in the lanes past the limit of the current tile.
loops::Val keep_past_limit(KernelWriter& w, loops::Val acc, loops::Val next);
/// Rounds a result of the compute dtype to the dtype of the value.
loops::Val rounded(KernelWriter& w, u32 value, loops::Val v);

Lowered lower_map(const Graph& g, const GraphIndex& index, const Group& group, const Target& target);
Lowered lower_rows(const Graph& g, const GraphIndex& index, const Group& group, const Target& target);
Lowered lower_columns(const Graph& g, const GraphIndex& index, const Group& group, const Target& target);
Lowered lower_contraction(const Graph& g, const GraphIndex& index, const Group& group, const Target& target);
Lowered lower_prefix(const Graph& g, const GraphIndex& index, const Group& group, const Target& target);
Lowered lower_arg(const Graph& g, const GraphIndex& index, const Group& group, const Target& target);

}  // namespace tn
