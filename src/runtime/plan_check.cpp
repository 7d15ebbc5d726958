// What must hold of a plan that was read and not built: every rule here guards memory.
#include "ir/op_def.h"
#include "runtime/plan_text.h"
#include "tenon/error.h"

namespace tn {

namespace {

class Checker {
 public:
  explicit Checker(const Plan& plan) : plan_(plan), slots_(plan.slots()) {}

  void run() {
    outside();
    for (const Instruction& i : plan_.instructions()) {
      now_ = &i;
      for (u32 s : i.writes)
        need(slots_[s].role == Slot::Role::output || slots_[s].role == Slot::Role::temp,
             "only outputs and temps written");
      switch (i.kind) {
        case Instruction::Kind::kernel: kernel(i); break;
        case Instruction::Kind::native: native(i); break;
        case Instruction::Kind::copy:
          need(same_memory(slots_[i.reads[0]], type_of(i.writes[0])), "a copy of equal size");
          break;
        case Instruction::Kind::cond: cond(i); break;
        case Instruction::Kind::loop: loop(i); break;
        case Instruction::Kind::scan: scan(i); break;
      }
    }
  }

 private:
  void need(bool holds, const char* what) const {
    if (holds) return;
    fail("plan", "expected " + std::string(what) + (now_ ? " at instruction " + now_->label : std::string()) +
                     ", got something else; the plan is damaged");
  }

  Type type_of(u32 slot) const { return Type::tensor(slots_[slot].dtype, slots_[slot].shape); }

  static bool same_memory(const Slot& s, Type t) {
    return t.is_tensor() && t.dtype() == s.dtype && product(t.shape()) == product(s.shape);
  }

  /// Each input and output has one slot of its type, each constant the array its type asks for.
  void outside() const {
    std::span<const Type> inputs = plan_.input_types();
    const std::vector<Type>& outputs = plan_.output_types();
    std::vector<bool> in(inputs.size()), out(outputs.size());
    for (const Slot& s : slots_) {
      if (s.role == Slot::Role::temp) continue;
      if (s.role == Slot::Role::constant) {
        bool same = s.constant.storage && s.constant.dtype == s.dtype && s.constant.shape.size() == s.shape.size();
        for (size_t k = 0; same && k < s.shape.size(); ++k) same = s.shape[k] == Dim(s.constant.shape[k]);
        need(same, "a constant of its slot's type");
        continue;
      }
      bool is_input = s.role == Slot::Role::input;
      std::span<const Type> types = is_input ? inputs : std::span<const Type>(outputs);
      std::vector<bool>& seen = is_input ? in : out;
      need(s.number < types.size() && !seen[s.number] && same_memory(s, types[s.number]),
           "a slot for each input and output, of its type");
      seen[s.number] = true;
    }
    for (bool s : in) need(s, "a slot for each input");
    for (bool s : out) need(s, "a slot for each output");
    need(plan_.forwarded().size() == outputs.size(), "a word on each output");
    for (int f : plan_.forwarded()) need(f < static_cast<int>(inputs.size()), "an input that is forwarded");
  }

  void kernel(const Instruction& i) const {
    need(i.code && !i.phases.empty() &&
             (!i.code->code() || i.code->code()->phases() == static_cast<i64>(i.phases.size())),
         "machine code of as many phases");
  }

  void values(const Instruction& i) const {
    for (size_t k = 0; k < i.operands.size(); ++k)
      need(same_memory(slots_[i.operands[k]], i.operand_types[k]), "operands of their slots' types");
    for (size_t k = 0; k < i.results.size(); ++k)
      need(same_memory(slots_[i.results[k]], i.result_types[k]), "results of their slots' types");
  }

  void native(const Instruction& i) const {
    need(i.op->lower.as<Native>(), "an op with a library kernel");
    values(i);
    need(i.bodies.empty() && i.spare.empty(), "a library kernel without bodies");
    Attrs full = check_call(*i.op, i.operand_types, i.attrs);
    need(full == i.attrs && i.op->type(i.operand_types, full) == i.result_types, "the op's types");
  }

  i64 integer(const Instruction& i, const char* name) const {
    const Attr* a = i.attrs.find(name);
    need(a && std::holds_alternative<i64>(*a), "the op's attributes");
    return std::get<i64>(*a);
  }

  size_t count(const Instruction& i, const char* name, size_t most) const {
    i64 n = integer(i, name);
    need(n >= 0 && static_cast<u64>(n) <= most, "counts within the operands");
    return static_cast<size_t>(n);
  }

  /// A body that takes and gives these types.
  void body(const Instruction& i, size_t k, std::span<const Type> in, std::span<const Type> out) const {
    const Plan& b = *i.bodies[k];
    auto equal = [](std::span<const Type> x, std::span<const Type> y) {
      return std::equal(x.begin(), x.end(), y.begin(), y.end());
    };
    need(equal(b.input_types(), in) && equal(b.output_types(), out), "bodies of the op's types");
    for (int f : b.forwarded()) need(f < 0, "bodies that make their outputs");
    check_plan(b);
  }

  void shape_of(const Instruction& i, Structured::Kind kind, size_t bodies, size_t spares) const {
    need(is(*i.op, kind) && i.bodies.size() == bodies && i.spare.size() == spares, "an op of this kind of instruction");
    values(i);
  }

  void cond(const Instruction& i) const {
    shape_of(i, Structured::Kind::cond, 2, 0);
    need(!i.operands.empty() && i.operand_types[0] == Type::tensor(DType::boolean, {}), "a condition of one bool");
    for (size_t k : {size_t{0}, size_t{1}}) body(i, k, std::span(i.operand_types).subspan(1), i.result_types);
  }

  void carries(const Instruction& i, size_t first_operand, size_t first_spare, size_t n) const {
    for (size_t k = 0; k < n; ++k) {
      need(i.operand_types[first_operand + k] == i.result_types[k], "carries of one type");
      need(same_memory(slots_[i.spare[first_spare + k]], i.result_types[k]), "spares like their carries");
    }
  }

  void loop(const Instruction& i) const {
    shape_of(i, Structured::Kind::loop, 2, i.results.size() + 1);
    size_t consts = count(i, "consts", i.operands.size());
    integer(i, "bound");
    need(i.operands.size() - consts == i.results.size(), "a result for each carry");
    Type one = Type::tensor(DType::boolean, {});
    need(same_memory(slots_[i.spare[0]], one), "a condition of one bool");
    carries(i, consts, 1, i.results.size());
    body(i, 0, i.operand_types, std::span(&one, 1));
    body(i, 1, i.operand_types, i.result_types);
  }

  void scan(const Instruction& i) const {
    size_t consts = count(i, "consts", i.operands.size()), n = count(i, "carry", i.operands.size() - consts);
    shape_of(i, Structured::Kind::scan, 1, n);
    const Attr* reverse = i.attrs.find("reverse");
    const Attr* length = i.attrs.find("length");
    need(reverse && std::holds_alternative<bool>(*reverse) && length && std::holds_alternative<Shape>(*length) &&
             std::get<Shape>(*length).size() == 1 && i.results.size() >= n,
         "the op's attributes");
    carries(i, consts, 0, n);
    Dim steps = std::get<Shape>(*length)[0];
    auto step_types = [&](std::vector<Type> types, size_t first) {
      for (size_t k = first; k < types.size(); ++k) {
        need(types[k].rank() > 0 && types[k].dim(0) == steps, "a leading axis of the scan's length");
        types[k] = types[k].with(types[k].shape().subspan(1));
      }
      return types;
    };
    body(i, 0, step_types(i.operand_types, consts + n), step_types(i.result_types, n));
  }

  const Plan& plan_;
  std::span<const Slot> slots_;
  const Instruction* now_ = nullptr;
};

}  // namespace

void check_plan(const Plan& plan) { Checker(plan).run(); }

}  // namespace tn
