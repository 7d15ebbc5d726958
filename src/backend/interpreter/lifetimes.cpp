#include "backend/interpreter/lifetimes.h"

#include <algorithm>

namespace tn::loops::interpreter {

namespace {

bool makes_tile(Kind k) {
  switch (k) {
    case Kind::dim:
    case Kind::map:
    case Kind::reduce:
    case Kind::scan:
    case Kind::slice:
    case Kind::transpose:
    case Kind::load:
    case Kind::gather: return true;
    default: return false;
  }
}

class Placer {
 public:
  explicit Placer(const Kernel& k)
      : k_(k), count_(k.nodes.size()), root_(count_), last_(count_, -1), read_(count_, -1), region_(count_, -1) {
    places_.at.assign(count_, -1);
    places_.room.assign(count_, -1);
  }

  Places run() {
    find_lifetimes();
    std::vector<std::vector<Val>> ending(count_);
    for (size_t v = 0; v < count_; ++v)
      if (root_[v] == static_cast<Val>(v) && last_[v] >= 0) ending[index(last_[v])].push_back(static_cast<Val>(v));
    for (Val n = 0; n < static_cast<Val>(count_); ++n) {
      place(n);
      for (Val v : ending[index(n)])
        if (at(v) >= 0 && owner_of_place(v)) release(at(v), k_.nodes[index(v)].tile);
    }
    return std::move(places_);
  }

 private:
  static size_t index(Val v) { return static_cast<size_t>(v); }
  i32& at(Val v) { return places_.at[index(v)]; }
  const Node& node(Val v) const { return k_.nodes[index(v)]; }

  void use(Val v, Val n, const std::vector<Val>& open) {
    // Made outside a loop and read inside, it must last until the outermost such loop ends.
    Val until = n;
    for (Val h : open)
      if (h > v) {
        until = node(h).at;
        break;
      }
    Val r = root_[index(v)];
    last_[index(r)] = std::max(last_[index(r)], until);
    // Reading a loop's result after it is no obstacle to writing the carried place inside it.
    bool after = node(r).kind == Kind::carry && n > node(region_[index(r)]).at;
    if (!after) read_[index(r)] = std::max(read_[index(r)], until);
  }

  void find_lifetimes() {
    std::vector<Val> open;
    for (Val n = 0; n < static_cast<Val>(count_); ++n) {
      const Node& i = node(n);
      root_[index(n)] = n;
      region_[index(n)] = open.empty() ? -1 : open.back();
      if (i.kind == Kind::carry) {
        last_[index(n)] = node(open.back()).at;
        continue;
      }
      if (i.kind == Kind::result) {
        Val yield = k_.operands(i)[0];
        root_[index(n)] = node(yield).at + 1 + i.at;
        continue;
      }
      if (i.kind == Kind::map && i.op == ScalarOp::bitcast) root_[index(n)] = root_[index(k_.operands(i)[0])];
      last_[index(n)] = std::max(last_[index(n)], n);
      for (Val v : k_.operands(i)) use(v, n, open);
      if (i.kind == Kind::loop) open.push_back(n);
      if (i.kind == Kind::yield) open.pop_back();
    }
  }

  /// A value that moved into a carry's place leaves releasing it to the carry.
  bool owner_of_place(Val v) const { return !std::binary_search(guests_.begin(), guests_.end(), v); }

  void place(Val n) {
    const Node& i = node(n);
    if (i.kind == Kind::loop) return place_carries(n);
    if (i.kind == Kind::result || (i.kind == Kind::map && i.op == ScalarOp::bitcast)) {
      at(n) = at(root_[index(n)]);
      return;
    }
    if (makes_tile(i.kind) && at(n) < 0) at(n) = take(i.tile);
    if (i.kind == Kind::reduce) {
      const Tile& t = node(k_.operands(i)[0]).tile;
      Tile half = t;
      (i.axis == Axis::lanes ? half.lanes : half.rows) = ((i.axis == Axis::lanes ? t.lanes : t.rows) + 1) / 2;
      if (i.axis == Axis::lanes) half.rows = 1;
      places_.room[index(n)] = take(half);
      release(places_.room[index(n)], half);
    }
  }

  void place_carries(Val header) {
    const Node& yield = node(node(header).at);
    auto yields = k_.operands(yield);
    for (size_t j = 0; j < yields.size(); ++j) {
      Val c = header + 1 + static_cast<Val>(j), y = yields[j];
      at(c) = take(node(c).tile);
      const Node& made = node(y);
      bool direct = y > header && made.kind == Kind::map && made.op != ScalarOp::bitcast && at(y) < 0 &&
                    region_[index(y)] == header && read_[index(c)] <= y;
      if (!direct) continue;
      at(y) = at(c);
      guests_.insert(std::upper_bound(guests_.begin(), guests_.end(), y), y);
    }
  }

  static size_t room_for(const Tile& t) { return (tile_bytes(t) + 63) / 64 * 64; }

  i32 take(const Tile& t) {
    size_t size = room_for(t);
    for (auto f = free_.rbegin(); f != free_.rend(); ++f)
      if (f->first == size) {
        i32 offset = f->second;
        free_.erase(std::next(f).base());
        return offset;
      }
    places_.bytes += size;
    return static_cast<i32>(places_.bytes - size);
  }

  void release(i32 offset, const Tile& t) { free_.emplace_back(room_for(t), offset); }

  const Kernel& k_;
  size_t count_;
  std::vector<Val> root_;    // whose place it shares
  std::vector<Val> last_;    // last node that needs the place
  std::vector<Val> read_;    // last node that reads the value
  std::vector<Val> region_;  // innermost loop around
  std::vector<Val> guests_;
  std::vector<std::pair<size_t, i32>> free_;
  Places places_;
};

}  // namespace

Places place_tiles(const Kernel& kernel) { return Placer(kernel).run(); }

}  // namespace tn::loops::interpreter
