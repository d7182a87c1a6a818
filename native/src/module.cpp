// u2forge.native._kernels: the Python binding. Arrays in, arrays out; the interpreter's lock is let go while a session runs.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>

#include "aligned_memory.h"
#include "checksum.h"
#include "executor.h"
#include "processor.h"
#include "program.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

// Of what the packed weights mean: to be raised whenever their layout or their numbers change.
constexpr int kKernelsVersion = 4;

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Input = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
// What is written to is checked by hand: nanobind would convert it, and the results be lost with the copy.
using Written = nb::ndarray<nb::device::cpu>;

u2forge::Precision precision_of(const std::string& name) {
    if (name == "float32") return u2forge::Precision::float32;
    if (name == "bfloat16") return u2forge::Precision::bfloat16;
    if (name == "int16") return u2forge::Precision::int16;
    throw std::invalid_argument("precision " + name);
}

std::vector<int64_t> rows_of(const Table& table, size_t columns) {
    if (table.shape(1) != columns || table.shape(0) > 100000) throw std::invalid_argument("table of another shape");
    return {table.data(), table.data() + table.shape(0) * columns};
}

// A checked plan, and the array that holds its weights.
struct OpenProgram {
    Bytes weights;
    std::shared_ptr<const u2forge::Program> program;

    OpenProgram(const std::string& precision, const Table& buffers, const Table& steps, Bytes array)
        : weights(std::move(array)),
          program(std::make_shared<u2forge::Program>(precision_of(precision), rows_of(buffers, u2forge::kBufferColumns),
                                                     rows_of(steps, u2forge::kStepColumns), weights.data(),
                                                     weights.shape(0))) {}
};

struct OpenSession {
    std::shared_ptr<OpenProgram> owner;
    u2forge::Session session;

    OpenSession(std::shared_ptr<OpenProgram> program, u2forge::KernelsOf kernels, int threads)
        : owner(std::move(program)), session(owner->program, kernels, threads) {}

    void run(const std::vector<Input>& inputs, const std::vector<Written>& outputs, std::optional<Written> step_ms);
};

void need(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
}

template <class Number> Number* written(const Written& a, std::initializer_list<size_t> shape, const char* what) {
    bool fits = a.dtype() == nb::dtype<Number>() && a.ndim() == shape.size();
    int64_t stride = 1;
    for (size_t i = shape.size(); fits && i-- > 0;) {
        fits = a.shape(i) == shape.begin()[i] && (a.stride(i) == stride || a.shape(i) == 1);
        stride *= static_cast<int64_t>(a.shape(i));
    }
    need(fits, what);
    return static_cast<Number*>(a.data());
}

void OpenSession::run(const std::vector<Input>& inputs, const std::vector<Written>& outputs, std::optional<Written> step_ms) {
    const u2forge::Program& p = *owner->program;
    need(inputs.size() == size_t(p.inputs) && outputs.size() == size_t(p.outputs), "number of inputs or outputs");
    need(inputs[0].ndim() == 4 && inputs[0].shape(0) >= 1 && inputs[0].shape(0) <= 1 << 20, "batch");
    const size_t images = inputs[0].shape(0);
    std::vector<const void*> in(inputs.size());
    std::vector<void*> out(outputs.size());
    for (const u2forge::Buffer& b : p.buffers) {
        const size_t height = b.height, width = b.width, count = b.count;
        if (b.input >= 0) {
            const Input& a = inputs[b.input];
            need(a.ndim() == 4 && a.shape(0) == images, "shape of an input");
            if (b.layout == u2forge::Layout::pixels)
                need(a.dtype() == nb::dtype<uint8_t>() && a.shape(1) == height && a.shape(2) == width && a.shape(3) == count,
                     "shape or type of an input");
            else
                need(a.dtype() == nb::dtype<float>() && a.shape(1) == count && a.shape(2) == height && a.shape(3) == width,
                     "shape or type of an input");
            in[b.input] = a.data();
        }
        if (b.output >= 0) {
            out[b.output] = written<float>(outputs[b.output], {images, count, height, width},
                                           "shape, type or strides of an output");
        }
    }
    double* times = step_ms ? written<double>(*step_ms, {p.steps.size()}, "shape, type or strides of the step times") : nullptr;
    nb::gil_scoped_release unlocked;
    session.run(in, out, static_cast<int>(images), times);
}

}  // namespace

NB_MODULE(_kernels, module) {
    // Engines that are open at the interpreter's end are no leak.
    nb::set_leak_warnings(false);
    module.doc() = "The native engine's kernels and executor.";
    module.attr("KERNELS_VERSION") = kKernelsVersion;
    module.def("levels", &u2forge::usable_levels, "The instruction sets with kernels that run here, best first.");
    module.def("release_free_memory", &u2forge::release_free_memory,
               "Gives memory that was freed back to the system, where the allocator keeps it.");
    module.def(
        "checksum", [](const Bytes& bytes) {
            nb::gil_scoped_release unlocked;
            return u2forge::checksum(bytes.data(), bytes.shape(0));
        },
        "bytes"_a, "A checksum of 64 bits.");
    nb::class_<OpenProgram>(module, "Program")
        .def(nb::init<const std::string&, const Table&, const Table&, Bytes>(), "precision"_a, "buffers"_a, "steps"_a,
             "weights"_a)
        .def(
            "session",
            [](std::shared_ptr<OpenProgram> program, int threads, const std::string& level) {
                const u2forge::KernelsOf kernels = u2forge::kernels_of_level(level);
                if (!kernels) throw std::invalid_argument("instruction set " + level + " is not there");
                nb::gil_scoped_release unlocked;
                return std::make_unique<OpenSession>(std::move(program), kernels, threads);
            },
            "threads"_a, "level"_a);
    nb::class_<OpenSession>(module, "Session")
        .def("run", &OpenSession::run, "inputs"_a, "outputs"_a, "step_ms"_a = nb::none())
        .def("poison", [](OpenSession& s) { s.session.poison(); })
        .def_prop_ro("memory_bytes", [](const OpenSession& s) { return s.session.memory_bytes(); });
}
