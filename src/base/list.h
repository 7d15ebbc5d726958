// Short lists in the order of their making.
#pragma once
#include <algorithm>
#include <vector>

namespace tn {

/// Appends x unless the list has it.
template <class T>
void add_once(std::vector<T>& list, T x) {
  if (std::find(list.begin(), list.end(), x) == list.end()) list.push_back(x);
}

}  // namespace tn
