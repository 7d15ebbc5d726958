#include "tenon/error.h"

namespace tn {

std::string to_string(const Location& where) {
  std::string_view file = where.file_name();
  if (auto slash = file.rfind('/'); slash != file.npos) file.remove_prefix(slash + 1);
  return std::string(file) + ":" + std::to_string(where.line());
}

static std::string tagged(std::string_view op, std::string_view message) {
  std::string text = "[";
  text += op;
  text += "] ";
  text += message;
  return text;
}

void fail(std::string_view op, std::string_view message) { throw Error(tagged(op, message)); }

void fail(std::string_view op, std::string_view message, const Location& where) {
  std::string text = tagged(op, message);
  throw Error(where.line() ? text + " (" + to_string(where) + ")" : text);
}

void internal(std::string_view message) {
  throw InternalError("[internal] " + std::string(message) + "; this is a bug in Tenon, please report it");
}

}  // namespace tn
