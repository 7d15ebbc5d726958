// Pieces of a graph's text, for other texts that hold types and attributes (plans).
#pragma once
#include "ir/graph.h"
#include "ir/text.h"

namespace tn {

/// `{axis=1, dims=<n, 3>}`.
std::string to_string(const Attrs& attrs);
/// The form above; no attributes where no brace stands. Sub-graphs are parsed too.
Attrs parse_attrs(Cursor& cursor);
/// The form of to_string(Type).
Type parse_type(Cursor& cursor);

}  // namespace tn
