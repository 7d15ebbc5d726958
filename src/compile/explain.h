// Why the compiler did what it did, for people: printed when TENON_EXPLAIN is set.
#pragma once
#include <string>
#include <string_view>

namespace tn {

bool explaining();
/// One line: the pass, and what it decided. Build the text only when explaining().
void explain(std::string_view pass, const std::string& decision);

}  // namespace tn
