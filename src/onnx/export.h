// Networks out as ONNX: every op as standard operators where ONNX has words for it, by expansion where our op has one,
// else as an operator of domain "ai.tenon", which our importer reads back.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/named_graph.h"
#include "onnx/model.h"

namespace tn::onnx {

inline constexpr i64 kExportOpset = 20, kExportIr = 9;
inline constexpr const char* kOwnDomain = "ai.tenon";

/// The model of a network. Error names the op that has no form in ONNX.
ModelDef export_model(const NamedGraph& network);
/// The ops that files hold under kOwnDomain, and why each is there.
std::vector<std::pair<std::string_view, std::string_view>> own_ops();
/// Writes it to a file, atomically.
void export_file(const NamedGraph& network, const std::string& path);

}  // namespace tn::onnx
