// The second operand of a contraction as its products read it: panels of neighbouring lanes, [panel][k][lanes], in
// order whatever the operand's layout. Shared panels are written by a phase of their own, which a plan runs once where
// the operand is constant. Otherwise each unit of work copies the panels that it needs just before it needs them: they
// stay in its core's second cache, and no thread waits for another.
#pragma once
#include <functional>

#include "compile/group.h"

namespace tn {

class Panels {
 public:
  struct Extents {
    Shape outer;  // the operand's own
    Dim lanes;
    int tile_lanes = 1;
    Shape red;
  };
  /// The operand's tile at `lane` (holds r or l) as the writer's tile has it.
  using Read = std::function<loops::Val(std::span<const Dim> outer, Dim lane, std::span<const Dim> red)>;
  /// Of the outermost reduction axis.
  struct Part {
    Dim first = 0, count = 1;
  };

  /// `turned`: memory runs along the last reduction axis, and blocks of `block` by as many are transposed.
  Panels(Extents extents, DType dtype, bool turned, int block, Read read);

  /// Writes the phase that fills panels for all units.
  void share(KernelWriter& w);

  /// Room for `panels` panels of at most `depth` steps of the outermost reduction axis, of the unit being written.
  void open(KernelWriter& w, Dim first_panel, i64 panels, Dim depth);
  /// Fills the first `count` of them with this part of the reduction.
  void fill(KernelWriter& w, std::span<const Dim> outer, Dim count, const Part& part);
  /// Or says that they are filled row by row as copied_row() reads them.
  void begin(const Part& part) { part_ = part; }

  loops::Val row(loops::Builder& b, std::span<const Dim> outer, Dim panel, std::span<const Dim> red) const;
  loops::Val copied_row(KernelWriter& w, std::span<const Dim> outer, Dim panel, std::span<const Dim> red) const;

  /// A block of lanes from `lane` on by as many steps of the last reduction axis from k on, as rows of lanes.
  loops::Val turned_block(KernelWriter& w, std::span<const Dim> outer, Dim lane, Coords& red, Dim k, Dim limit) const;

 private:
  struct Place {
    Coords outer;
    Dim panel, offset;
  };
  Dim lane_limit(Dim panel) const;
  Dim inner_depth() const;
  Dim offset(std::span<const Dim> outer, Dim panel) const;
  Dim offset(const Place& place, std::span<const Dim> red, Dim beyond) const;
  loops::Val copy(KernelWriter& w, const Place& place, std::span<const Dim> red) const;
  void pack_nest(KernelWriter& w, const Place& place, Coords& red, const Part& part) const;
  void pack_turned(KernelWriter& w, const Place& place, Coords& red, const Part& part) const;

  Extents extents_;
  DType dtype_;
  bool turned_, own_ = false;
  int block_, buffer_ = -1;
  Read read_;
  Dim first_panel_ = 0;
  Part part_;  // that the panels hold
};

}  // namespace tn
