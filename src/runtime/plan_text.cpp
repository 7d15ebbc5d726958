#include "runtime/plan_text.h"

#include "ir/graph_text.h"
#include "ir/op_def.h"

namespace tn {

namespace {

constexpr std::string_view kRoles[] = {"input", "output", "constant", "temp"};
constexpr std::string_view kKinds[] = {"kernel", "native", "copy", "cond", "loop", "scan"};

}  // namespace

std::string_view name(Slot::Role role) { return kRoles[static_cast<size_t>(role)]; }
std::string_view name(Instruction::Kind kind) { return kKinds[static_cast<size_t>(kind)]; }

namespace {

// ---------------------------------------------------------------- printing

template <class Items, class Text>
std::string listed(const char* open, const Items& items, const char* close, Text text) {
  std::string result = open;
  for (size_t i = 0; i < items.size(); ++i) result += (i ? ", " : "") + text(items[i]);
  return result + close;
}

template <class Items>
std::string numbers(const Items& items) {
  return listed("[", items, "]", [](auto n) { return std::to_string(n); });
}

std::string dim_text(Dim d) { return "<" + to_string(d) + ">"; }

std::string type_text(Type t) { return to_string(t); }

class Printer {
 public:
  explicit Printer(PlanTables& tables) : tables_(tables) {}

  std::string plan(const Plan& p, const std::string& indent) {
    std::string text =
        listed("plan(", p.input_types(), ") -> ", type_text) + listed("(", p.output_types(), ")", type_text);
    text += " forward " + numbers(p.forwarded());
    text += listed(" guards [", p.guards(), "]",
                   [](const Guard& a) { return dim_text(a.value) + " " + quote(a.op) + " " + quote(a.error); });
    text += " {\n";
    for (size_t s = 0; s < p.slots().size(); ++s)
      text += indent + "  " + std::to_string(s) + " " + slot(p.slots()[s]) + "\n";
    for (const Instruction& i : p.instructions()) text += indent + "  " + instruction(i, indent + "  ") + "\n";
    return text + indent + "}";
  }

 private:
  std::string slot(const Slot& s) {
    std::string text(name(s.role));
    if (s.role == Slot::Role::constant)
      text += " " + std::to_string(constant(s.constant));
    else if (s.role != Slot::Role::temp)
      text += " " + std::to_string(s.number);
    return text + " " + to_string(Type::tensor(s.dtype, s.shape));
  }

  std::string instruction(const Instruction& i, const std::string& indent) {
    std::string text(name(i.kind));
    if (i.kind == Instruction::Kind::copy)
      return text + " " + std::to_string(i.reads[0]) + " " + std::to_string(i.writes[0]);
    if (i.kind == Instruction::Kind::kernel) return text + " " + kernel(i);
    auto values = [](const std::vector<Type>& types, const std::vector<u32>& slots) {
      std::string list = "(";
      for (size_t k = 0; k < slots.size(); ++k)
        list += (k ? ", " : "") + to_string(types[k]) + " " + std::to_string(slots[k]);
      return list + ")";
    };
    text += " " + std::string(i.op->name) + " " + std::to_string(i.op->version) + " ";
    text += values(i.operand_types, i.operands) + " -> " + values(i.result_types, i.results);
    text += " spare " + numbers(i.spare) + " " + to_string(without_graphs(i.attrs));
    text += " [";
    for (size_t k = 0; k < i.bodies.size(); ++k) text += (k ? ", " : "") + plan(*i.bodies[k], indent);
    return text + "]";
  }

  std::string kernel(const Instruction& i) {
    std::vector<bool> written(i.buffers.size());
    // A slot is read or written by a kernel, never both: lists are in the order of the buffers.
    size_t next = 0;
    std::string text = std::to_string(code(i.code)) + " " + quote(i.label) + " (";
    for (size_t k = 0; k < i.buffers.size(); ++k) {
      bool writes = next < i.writes.size() && i.writes[next] == i.buffers[k];
      next += writes;
      text += std::string(k ? ", " : "") + (writes ? "=" : "") + std::to_string(i.buffers[k]);
    }
    text += listed(") sizes [", i.sizes, "]", dim_text) + " scratch " + dim_text(i.scratch);
    return text + listed(" phases [", i.phases, "]",
                         [](const Instruction::Phase& p) { return dim_text(p.extent) + " " + dim_text(p.work); });
  }

  static Attrs without_graphs(const Attrs& attrs) {
    std::vector<NamedAttr> kept;
    for (const NamedAttr& a : attrs.items())
      if (!std::holds_alternative<GraphPtr>(a.second)) kept.push_back(a);
    return Attrs(std::move(kept));
  }

  size_t constant(const Array& a) {
    for (size_t k = 0; k < tables_.constants.size(); ++k)
      if (const Array& known = tables_.constants[k]; known.nbytes() == a.nbytes() && known.same_bits(a)) return k;
    tables_.constants.push_back(a);
    return tables_.constants.size() - 1;
  }

  size_t code(const std::shared_ptr<const Executable>& e) {
    for (size_t k = 0; k < tables_.kernels.size(); ++k)
      if (tables_.kernels[k] == e) return k;
    tables_.kernels.push_back(e);
    return tables_.kernels.size() - 1;
  }

  PlanTables& tables_;
};

}  // namespace

std::string to_string(const Plan& plan, PlanTables& tables) { return Printer(tables).plan(plan, "") + "\n"; }

// ---------------------------------------------------------------- parsing

class PlanReader {
 public:
  PlanReader(std::string_view text, const PlanTables& tables) : cursor_(text, "plan"), tables_(tables) {}

  PlanPtr whole() {
    PlanPtr p = plan();
    if (!cursor_.at_end()) cursor_.fail_expected("the end of the text");
    check_plan(*p);
    return p;
  }

 private:
  template <class Names>
  size_t one_of(const Names& names, const char* what) {
    for (size_t k = 0; k < std::size(names); ++k)
      if (cursor_.eat(names[k])) return k;
    cursor_.fail_expected(what);
  }

  size_t below(size_t count, const char* what) {
    i64 n = cursor_.integer();
    if (n < 0 || static_cast<u64>(n) >= count) cursor_.fail_expected(what);
    return static_cast<size_t>(n);
  }

  Dim dim() {
    cursor_.need("<");
    Dim d = cursor_.dim();
    cursor_.need(">");
    return d;
  }

  std::vector<Type> types() {
    std::vector<Type> list;
    cursor_.need("(");
    cursor_.list(")", [&] { list.push_back(parse_type(cursor_)); });
    return list;
  }

  PlanPtr plan() {
    Cursor::Nest nest(cursor_);
    auto made = std::make_shared<Plan>();
    Plan& p = *made;
    cursor_.need("plan");
    p.target_.compiled = true;
    p.input_types_ = types();
    cursor_.need("->");
    p.output_types_ = types();
    cursor_.need("forward");
    cursor_.need("[");
    cursor_.list("]", [&] { p.forwarded_.push_back(static_cast<int>(cursor_.integer())); });
    cursor_.need("guards");
    cursor_.need("[");
    cursor_.list("]", [&] {
      Dim value = dim();
      std::string name = cursor_.quoted();
      p.guards_.push_back({value, std::move(name), cursor_.quoted()});
    });
    cursor_.need("{");
    while (!cursor_.at_word() && cursor_.peek() != '}') {
      if (static_cast<size_t>(cursor_.integer()) != p.slots_.size()) cursor_.fail_expected("slots numbered from 0");
      p.slots_.push_back(slot());
    }
    while (!cursor_.eat("}")) p.instructions_.push_back(instruction(p.slots_.size()));
    return made;
  }

  Slot slot() {
    Slot s;
    s.role = static_cast<Slot::Role>(one_of(kRoles, "input, output, constant or temp"));
    if (s.role == Slot::Role::constant)
      s.constant = tables_.constants[below(tables_.constants.size(), "the number of a constant")];
    else if (s.role != Slot::Role::temp)
      s.number = static_cast<u32>(below(1u << 20, "the number of an input or output"));
    Type t = parse_type(cursor_);
    if (!t.is_tensor()) cursor_.fail_expected("the type of a tensor");
    s.dtype = t.dtype();
    s.shape.assign(t.shape().begin(), t.shape().end());
    return s;
  }

  Instruction instruction(size_t slots) {
    Instruction i;
    i.kind = static_cast<Instruction::Kind>(one_of(kKinds, "an instruction"));
    auto slot_number = [&] { return static_cast<u32>(below(slots, "the number of a slot")); };
    if (i.kind == Instruction::Kind::copy) {
      i.reads.push_back(slot_number());
      i.writes.push_back(slot_number());
      i.label = "copy";
      return i;
    }
    if (i.kind == Instruction::Kind::kernel) {
      kernel(i, slot_number);
      return i;
    }
    i.op = &op(cursor_.word());
    i.label = i.op->name;
    if (cursor_.integer() != i.op->version)
      fail("plan", "expected version " + std::to_string(i.op->version) + " of op " + i.label + ", got another");
    auto values = [&](std::vector<Type>& types_, std::vector<u32>& numbers_) {
      cursor_.need("(");
      cursor_.list(")", [&] {
        types_.push_back(parse_type(cursor_));
        numbers_.push_back(slot_number());
      });
    };
    values(i.operand_types, i.operands);
    cursor_.need("->");
    values(i.result_types, i.results);
    cursor_.need("spare");
    cursor_.need("[");
    cursor_.list("]", [&] { i.spare.push_back(slot_number()); });
    i.attrs = parse_attrs(cursor_);
    cursor_.need("[");
    cursor_.list("]", [&] { i.bodies.push_back(plan()); });
    i.reads = i.operands;
    i.writes = i.results;
    i.writes.insert(i.writes.end(), i.spare.begin(), i.spare.end());
    return i;
  }

  template <class SlotNumber>
  void kernel(Instruction& i, SlotNumber slot_number) {
    i.code = tables_.kernels[below(tables_.kernels.size(), "the number of a kernel")];
    i.label = cursor_.quoted();
    cursor_.need("(");
    cursor_.list(")", [&] {
      bool writes = cursor_.eat("=");
      i.buffers.push_back(slot_number());
      (writes ? i.writes : i.reads).push_back(i.buffers.back());
    });
    cursor_.need("sizes");
    cursor_.need("[");
    cursor_.list("]", [&] { i.sizes.push_back(dim()); });
    cursor_.need("scratch");
    i.scratch = dim();
    cursor_.need("phases");
    cursor_.need("[");
    cursor_.list("]", [&] {
      Dim extent = dim();
      i.phases.push_back({extent, dim()});
    });
  }

  Cursor cursor_;
  const PlanTables& tables_;
};

PlanPtr parse_plan(std::string_view text, const PlanTables& tables) { return PlanReader(text, tables).whole(); }

}  // namespace tn
