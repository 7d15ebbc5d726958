// What memory a piece of a kernel touches, so that it can be fetched before its turn comes.
#pragma once
#include <functional>
#include <vector>

#include "compile/group.h"

namespace tn {

/// One access of an element: of which value, and at which of its elements, in terms of the symbols it was written with.
struct Touch {
  u32 value;
  bool written;
  Dim offset;
};

/// Every place in memory that `body` touches, found by writing it into a kernel that is thrown away; temporaries and
/// scratch are left out. What needs another kernel first touches nothing here: it is refused where it is written.
std::vector<Touch> touches(const Graph& g, const GraphIndex& index, const Group& group,
                           const std::function<void(KernelWriter&)>& body);

/// Fetches the element's line, with symbols replaced.
void fetch(KernelWriter& w, const Touch& touch, std::span<const std::pair<Dim, Dim>> there, Dim further,
           loops::Fetch how);

/// A picture's memory (all channels, rows and columns in order) as it is read at `at(picture, channel, row, column)`:
/// its lines are fetched in equal parts, one with each step of the work on the picture before it.
class NextPicture {
 public:
  using At = std::function<Coords(Dim picture, Dim channel, Dim row, Dim column)>;
  /// `extents` are those of picture, channel, row and column.
  NextPicture(const Graph& g, const GraphIndex& index, const Group& group, u32 value, std::span<const Dim> extents,
              const At& at);
  /// Step `step` of `steps`, while `picture` is worked on.
  void fetch(KernelWriter& w, Dim picture, Dim step, Dim steps) const;

 private:
  std::vector<Touch> runs_;  // at its first element
  Dim number_, size_;
};

}  // namespace tn
