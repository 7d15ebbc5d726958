// Functions: graphs with an identity of their own. A graph holds what it calls by value, so it cannot contain itself;
// a function is called by its number (op `invoke`) and may call itself, or another that calls it. What a transform
// makes of a function is a function too, kept with it: its number stands before its body is made, so that a body that
// calls itself becomes one that calls what is being made.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/array.h"
#include "ir/graph.h"

namespace tn {

/// What is known of a function from its declaration on.
struct FunctionType {
  std::string name;  // for errors
  std::vector<Type> inputs, outputs;
  bool guarded = false;  // its first input says whether this lane runs (see effects.h)
};

/// The number of a new function; it lives as long as the process.
i64 declare_function(FunctionType type);
/// Gives it its body. Error: other types, an effect (a function runs as often as it is called), a second body.
void define_function(i64 id, GraphPtr body);
/// The same errors, ahead of it.
void check_function(i64 id, const Graph& body);
/// Whether all other functions that this body of it invokes have theirs.
bool is_complete(i64 id, const Graph& body);
/// Error for numbers that no function has.
const FunctionType& function_type(i64 id);
bool has_body(i64 id);
/// Error for one without a body yet.
const GraphPtr& function_body(i64 id);
/// Whether its body, or what that invokes, may invoke it again.
bool is_recursive(i64 id);
/// What a transform makes of it: made once for each key.
i64 derived_function(i64 id, const std::string& key, FunctionType type, const std::function<GraphPtr()>& body);

/// Runs a graph on arrays; set by the executors when the process starts.
using GraphRunner = std::vector<Array> (*)(const GraphPtr& g, std::span<const Array> inputs);
struct GraphRunners {
  GraphRunner kernels = nullptr, oracle = nullptr;
};
GraphRunners& graph_runners();

}  // namespace tn
