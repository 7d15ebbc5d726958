// Finding ops by name. The tables of the families are constant; ops of plugins join them at run time.
#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "op/families.h"

namespace tn {

namespace {

using Family = std::span<const OpDef> (*)();
std::vector<Family> families() {
  return {
      elementwise_ops,  //
      function_ops,     //
      reduce_ops,       //
      order_ops,        //
      shape_ops,        //
      part_ops,         //
      index_ops,        //
      scatter_ops,      //
      contraction_ops,  //
      conv_ops,         //
      pool_ops,         //
      random_ops,       //
      effect_ops,       //
      normalize_ops,    //
      activation_ops,   //
      control_ops,
  };
}

struct Registry {
  std::vector<const OpDef*> list;
  std::unordered_map<std::string_view, const OpDef*> by_name;
  std::vector<std::vector<const OpDef*>> former;  // spans that all_ops() has given out stay valid
  std::shared_mutex mutex;

  Registry() {
    for (Family family : families())
      for (const OpDef& o : family()) {
        add_name(&o);
        list.push_back(&o);
      }
  }
  void add_name(const OpDef* o) {
    if (!by_name.emplace(o->name, o).second)
      fail(o->name, "expected a name that no op has, got one that is taken; rename the op");
  }
};

Registry& registry() {
  static auto* r = new Registry;
  return *r;
}

/// Levenshtein distance.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t best = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = row[j];
      row[j] = best;
    }
  }
  return row.back();
}

std::string near_names(std::string_view name) {
  std::vector<std::pair<size_t, std::string_view>> found;
  for (const OpDef* o : all_ops())
    if (size_t d = distance(name, o->name); d <= std::max<size_t>(2, name.size() / 3)) found.emplace_back(d, o->name);
  std::sort(found.begin(), found.end());
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(3, found.size()); ++i)
    text += (i ? ", " : "did you mean ") + std::string(found[i].second);
  return text.empty() ? "see `tenon ops` for all names; a plugin's op needs its plugin" : text + "?";
}

}  // namespace

std::span<const OpDef* const> all_ops() {
  Registry& r = registry();
  std::shared_lock lock(r.mutex);
  return r.list;
}

const OpDef* find_op(std::string_view name) {
  Registry& r = registry();
  std::shared_lock lock(r.mutex);
  auto found = r.by_name.find(name);
  return found == r.by_name.end() ? nullptr : found->second;
}

const OpDef& op(std::string_view name) {
  if (const OpDef* o = find_op(name)) return *o;
  std::string shown(name.substr(0, 64));
  fail("op", "expected the name of an op, got '" + shown + "'; " + near_names(shown));
}

const OpDef* exchange_op(const OpDef* o) {
  Registry& r = registry();
  std::unique_lock lock(r.mutex);
  auto found = r.by_name.find(o->name);
  if (found == r.by_name.end()) internal("exchange_op: there is no op of that name");
  return std::exchange(found->second, o);
}

void register_op(const OpDef* o) {
  Registry& r = registry();
  std::unique_lock lock(r.mutex);
  std::vector<const OpDef*> next = r.list;
  r.add_name(o);
  next.push_back(o);
  r.former.push_back(std::move(r.list));
  r.list = std::move(next);
}

}  // namespace tn
