#include "program.h"

#include <stdexcept>

namespace u2forge {
namespace {

// Throws with the step's number and what is wrong.
class Checker {
   public:
    Checker(const Program& program, int index) : program_(program), step_(program.steps[index]), index_(index) {}

    void check() const {
        const Step& s = step_;
        need(s.kind == Kind::convolution || !s.pooled, "pooling");
        need(s.kind == Kind::convolution || s.kind == Kind::add || !s.residual, "a second source");
        switch (s.kind) {
            case Kind::normalize:
                view(s.source, Layout::pixels, "source");
                view(s.target, Layout::planar, "target");
                need(whole(s.source) && s.source.count == s.target.count, "channels");
                same_size(s.source, s.target);
                floats(s.multiplier, s.target.count, true);
                floats(s.addend, s.target.count, true);
                break;
            case Kind::first_convolution:
                view(s.source, Layout::planar, "source");
                view(s.target, Layout::blocked, "target");
                same_size(s.source, s.target);
                floats(s.weights, int64_t{9} * s.source.count * kGroup * s.target.count, true);
                floats(s.addend, int64_t{kGroup} * s.target.count, true);
                break;
            case Kind::convolution: convolution(); break;
            case Kind::side_convolution:
                view(s.source, Layout::blocked, "source");
                view(s.target, Layout::planar, "target");
                same_size(s.source, s.target);
                floats(s.weights, int64_t{9} * s.target.count * kGroup * s.source.count, true);
                floats(s.addend, s.target.count, true);
                break;
            case Kind::pointwise_convolution:
                view(s.source, Layout::planar, "source");
                view(s.target, Layout::planar, "target");
                same_size(s.source, s.target);
                need(!overlap(s.source, s.target), "target within its source");
                floats(s.weights, int64_t{s.source.count} * s.target.count, true);
                floats(s.addend, s.target.count, true);
                break;
            case Kind::pool:
                pair(Layout::blocked);
                halved(s.source, s.target);
                break;
            case Kind::resize: pair(Layout::blocked); break;
            case Kind::resize_planar: pair(Layout::planar); break;
            case Kind::add:
                pair(Layout::blocked);
                same_size(s.source, s.target);
                view(s.residual, Layout::blocked, "second source");
                need(s.residual.count == s.target.count, "groups of the second source");
                same_size(s.residual, s.target);
                need(!overlap(s.residual, s.target), "target within its second source");
                scales();
                break;
            case Kind::copy:
                pair(Layout::blocked);
                same_size(s.source, s.target);
                break;
            case Kind::copy_planar:
            case Kind::sigmoid:
                pair(Layout::planar);
                same_size(s.source, s.target);
                break;
            default: fail("unknown kind");
        }
    }

   private:
    void convolution() const {
        const Step& s = step_;
        view(s.source, Layout::blocked, "source");
        view(s.target, Layout::blocked, "target");
        same_size(s.source, s.target);
        need(s.dilation >= 1 && s.dilation <= kMostSide, "dilation");
        need(!s.winograd() || s.dilation == 1 || (s.dilation <= 64 && !s.residual && !s.pooled),
             "what a dilated Winograd convolution cannot do");
        need(s.algorithm != Algorithm::large_tiles || (s.dilation == 1 && program_.precision == Precision::float32),
             "large tiles of another precision, or dilated");
        if (program_.precision == Precision::int16) need(s.eight_pairs >= 1 && s.eight_pairs <= 8 * 2 * 32768, "eight pairs");
        if (s.residual) {
            view(s.residual, Layout::blocked, "residual");
            need(s.residual.count == s.target.count, "groups of the residual");
            same_size(s.residual, s.target);
        }
        if (s.pooled) {
            need(s.winograd(), "pooling behind a direct convolution");
            view(s.pooled, Layout::blocked, "pooled");
            need(s.pooled.count == s.target.count, "groups of the pooled target");
            halved(s.target, s.pooled);
            need(s.pooled.buffer != s.target.buffer, "pooled into its own target");
        }
        need(!overlap(s.source, s.target) && !(s.pooled && overlap(s.source, s.pooled)), "target within its source");
        // Each pixel is read before it is written: the residual may be where the target is, but not elsewhere within it.
        need(!s.residual || same(s.residual, s.target) || !overlap(s.residual, s.target), "target within its residual");
        need(!(s.residual && s.pooled && overlap(s.residual, s.pooled)), "pooled target within the residual");
        const int64_t numbers = int64_t{s.factors()} * s.source.count * kGroup * s.target.count * kGroup;
        array(s.weights, numbers * bytes_of_weight(program_.precision), "weights");
        floats(s.addend, int64_t{kGroup} * s.target.count, true);
        scales();
    }

    void scales() const {
        const bool scaled = program_.precision == Precision::int16;
        const int64_t channels = int64_t{kGroup} * step_.target.count;
        floats(step_.multiplier, channels, scaled);
        floats(step_.residual_multiplier, channels, scaled && step_.residual);
    }

    void pair(Layout layout) const {
        view(step_.source, layout, "source");
        view(step_.target, layout, "target");
        need(step_.source.count == step_.target.count, "count");
        need(!overlap(step_.source, step_.target), "target within its source");
    }

    void view(const View& v, Layout layout, const char* what) const {
        if (v.buffer < 0 || v.buffer >= static_cast<int>(program_.buffers.size())) fail(what);
        const Buffer& b = program_.buffers[v.buffer];
        if (b.layout != layout || v.first < 0 || v.count < 1 || v.first > b.count - v.count) fail(what);
        // A caller's array is read only.
        if (b.input >= 0 && (&v == &step_.target || &v == &step_.pooled)) fail("an input is written");
    }

    bool whole(const View& v) const { return v.first == 0 && v.count == buffer(v).count; }
    static bool overlap(const View& a, const View& b) {
        return a.buffer == b.buffer && a.first < b.first + b.count && b.first < a.first + a.count;
    }
    static bool same(const View& a, const View& b) {
        return a.buffer == b.buffer && a.first == b.first && a.count == b.count;
    }
    const Buffer& buffer(const View& v) const { return program_.buffers[v.buffer]; }
    void same_size(const View& a, const View& b) const {
        need(buffer(a).height == buffer(b).height && buffer(a).width == buffer(b).width, "sizes");
    }
    void halved(const View& from, const View& to) const {
        need(buffer(to).height == (buffer(from).height + 1) / 2 && buffer(to).width == (buffer(from).width + 1) / 2,
             "size of the pooled target");
    }
    void floats(int64_t offset, int64_t count, bool needed) const {
        if (offset < 0 && !needed) return;
        array(offset, count * 4, "array");
    }
    void array(int64_t offset, int64_t bytes, const char* what) const {
        const int64_t size = static_cast<int64_t>(program_.weights_bytes);
        need(offset >= 0 && offset % 64 == 0 && bytes <= size && offset <= size - bytes, what);
    }
    void need(bool condition, const char* what) const {
        if (!condition) fail(what);
    }
    [[noreturn]] void fail(const char* what) const {
        throw std::invalid_argument("step " + std::to_string(index_) + ": " + what);
    }

    const Program& program_;
    const Step& step_;
    int index_;
};

int bounded(int64_t value, int64_t low, int64_t high, const char* what) {
    if (value < low || value > high) throw std::invalid_argument(std::string(what) + " " + std::to_string(value));
    return static_cast<int>(value);
}

Buffer buffer_of(const int64_t* row) {
    Buffer b;
    b.layout = static_cast<Layout>(bounded(row[0], 0, 2, "layout"));
    b.count = bounded(row[1], 1, kMostChannels, "count");
    b.height = bounded(row[2], 1, kMostSide, "height");
    b.width = bounded(row[3], 1, kMostSide, "width");
    b.input = bounded(row[4], -1, 15, "input");
    b.output = bounded(row[5], -1, 63, "output");
    if ((b.layout == Layout::blocked && (b.input >= 0 || b.output >= 0)) || (b.layout == Layout::pixels && b.input < 0) ||
        (b.input >= 0 && b.output >= 0))
        throw std::invalid_argument("a buffer that cannot be an input or output");
    return b;
}

Step step_of(const int64_t* row) {
    auto view = [&](int at) {
        return View{bounded(row[at], -1, 1 << 20, "buffer"), bounded(row[at + 1], -1, kMostChannels, "first"),
                    bounded(row[at + 2], -1, kMostChannels, "count")};
    };
    Step s;
    s.kind = static_cast<Kind>(bounded(row[0], 0, 11, "kind"));
    s.source = view(1);
    s.target = view(4);
    s.residual = view(7);
    s.pooled = view(10);
    s.algorithm = static_cast<Algorithm>(bounded(row[13], 0, 2, "algorithm"));
    s.dilation = bounded(row[14], 0, kMostSide, "dilation");
    s.eight_pairs = bounded(row[15], 0, 1 << 20, "eight pairs");
    s.weights = row[16];
    s.multiplier = row[17];
    s.addend = row[18];
    s.residual_multiplier = row[19];
    return s;
}

}  // namespace

int bytes_of_weight(Precision precision) { return precision == Precision::float32 ? 4 : 2; }

Program::Program(Precision precision_, const std::vector<int64_t>& buffer_rows, const std::vector<int64_t>& step_rows,
                 const uint8_t* weights_, size_t weights_bytes_)
    : precision(precision_), weights(weights_), weights_bytes(weights_bytes_) {
    if (reinterpret_cast<uintptr_t>(weights) % 64 != 0) throw std::invalid_argument("weights: not aligned to 64 bytes");
    for (size_t at = 0; at + kBufferColumns <= buffer_rows.size(); at += kBufferColumns)
        buffers.push_back(buffer_of(&buffer_rows[at]));
    for (size_t at = 0; at + kStepColumns <= step_rows.size(); at += kStepColumns) steps.push_back(step_of(&step_rows[at]));
    std::vector<int> seen_inputs(16, 0), seen_outputs(64, 0);
    for (const Buffer& b : buffers) {
        if (b.input >= 0) ++seen_inputs[b.input], inputs = inputs > b.input ? inputs : b.input + 1;
        if (b.output >= 0) ++seen_outputs[b.output], outputs = outputs > b.output ? outputs : b.output + 1;
    }
    for (int i = 0; i < inputs; ++i)
        if (seen_inputs[i] != 1) throw std::invalid_argument("inputs");
    for (int i = 0; i < outputs; ++i)
        if (seen_outputs[i] != 1) throw std::invalid_argument("outputs");
    if (inputs == 0 || outputs == 0 || steps.empty()) throw std::invalid_argument("no inputs, outputs or steps");
    for (size_t index = 0; index < steps.size(); ++index) Checker(*this, static_cast<int>(index)).check();
}

}  // namespace u2forge
