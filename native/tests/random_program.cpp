#include "random_program.h"

#include <algorithm>
#include <cmath>
#include <cstring>

// What the 16-bit transforms scale by.
#define U2FORGE_LEVEL scales_for_tests
#include "../src/simd_portable.h"

#include "../src/transform_kernels.h"
#include "packed_weights.h"

namespace u2forge::test {
namespace {

// What weights are multiplied with at a row or column of the tile, so that the kernels' shifts and scales cancel out.
WinogradScale scale_of(Precision precision) {
    WinogradScale s{{1, 1, 1, 1, 1, 1, 1, 1}, 1};
    if (precision != Precision::int16) return s;
    // Rows and columns 3 and 4 are shifted by one less each.
    s.weight[3] = s.weight[4] = scales_for_tests::kInner / 2.0;
    s.weight[5] = scales_for_tests::kLast;
    s.all = 1 << scales_for_tests::kShift;
    return s;
}

struct Size {
    int height, width;
    bool operator==(const Size& other) const { return height == other.height && width == other.width; }
    int64_t pixels() const { return int64_t{height} * width; }
};
Size half(Size s) { return {(s.height + 1) / 2, (s.width + 1) / 2}; }

constexpr View kNone{-1, 0, 0};
constexpr double kUnwritten = -1;

// A buffer under construction; slack of each group or channel, or kUnwritten.
struct Area {
    Layout layout;
    Size size;
    std::vector<double> slack;
    std::vector<bool> shown;
    int input = -1, output = -1;
    bool written(int first, int count) const {
        return std::all_of(slack.begin() + first, slack.begin() + first + count, [](double s) { return s >= 0; });
    }
    bool free(int first, int count) const {
        return std::all_of(slack.begin() + first, slack.begin() + first + count, [](double s) { return s < 0; });
    }
};

Step empty_step(Kind kind, View source, View target) {
    return {kind, source, target, kNone, kNone, Algorithm::direct, 1, 0, -1, -1, -1, -1};
}

class Builder {
   public:
    Builder(Precision precision, const Options& options, Random& random)
        : precision_(precision), options_(options), random_(random), high_(precision == Precision::int16 ? 4095 : 1) {}

    Network build() {
        base_ = base_size();
        heads();
        for (int i = 0; i < options_.steps; ++i) {
            step();
            // What is not read any more gives its memory to others.
            show(0.5);
        }
        if (options_.saturating) convolution(true);
        show(1);
        return encoded();
    }

   private:
    Size base_size() {
        const int most = options_.most_side;
        const double kind = std::uniform_real_distribution<double>()(random_);
        if (kind < 0.15) return {within(random_, 1, 3), within(random_, 1, 3)};
        if (kind < 0.25) return {1, within(random_, 1, most)};
        if (kind < 0.35) return {within(random_, 1, most), 1};
        if (kind < 0.5 && options_.large) {
            // 300 tiles and more.
            const int height = within(random_, 20, 110);
            const int pixels = precision_ == Precision::float32 && chance(random_, 0.5) ? 6 * 6 : 4 * 4;  // of a tile
            return {height, (within(random_, 300, 420) * pixels + height - 1) / height};
        }
        return {within(random_, 1, most), within(random_, 1, most)};
    }

    double normal(double deviation) { return std::normal_distribution<double>(0, deviation)(random_); }
    std::vector<float> normals(size_t count, double deviation) {
        std::vector<float> r(count);
        for (float& x : r) x = static_cast<float>(normal(deviation));
        return r;
    }

    int area(Layout layout, int count, Size size, int input = -1) {
        areas_.push_back({layout, size, std::vector<double>(count, input < 0 ? kUnwritten : 0),
                          std::vector<bool>(count, input >= 0), input});
        return static_cast<int>(areas_.size()) - 1;
    }
    int inputs() const {
        const auto is_input = [](const Area& a) { return a.input >= 0; };
        return static_cast<int>(std::count_if(areas_.begin(), areas_.end(), is_input));
    }
    double slack_of(const View& v) const {
        const auto& s = areas_[v.buffer].slack;
        return *std::max_element(s.begin() + v.first, s.begin() + v.first + v.count);
    }
    Size size_of(const View& v) const { return areas_[v.buffer].size; }
    static bool overlap(const View& a, const View& b) {
        return a.buffer == b.buffer && a.first < b.first + b.count && b.first < a.first + a.count;
    }
    void emit(const Step& step, double slack) {
        steps_.push_back(step);
        for (const View* v : {&step.target, &step.pooled})
            for (int i = 0; *v && i < v->count; ++i) areas_[v->buffer].slack[v->first + i] = slack;
    }

    View one_of(const std::vector<View>& views) {
        return views[within(random_, 0, static_cast<int>(views.size()) - 1)];
    }

    // A place for `count` groups: where a joined buffer has room, or a new one, often with more groups around.
    View place(Layout layout, int count, Size size, int not_in = -1) {
        std::vector<View> rooms;
        for (int b = 0; b < static_cast<int>(areas_.size()); ++b) {
            const Area& a = areas_[b];
            if (a.layout != layout || !(a.size == size) || a.input >= 0 || b == not_in) continue;
            for (int first = 0; first + count <= static_cast<int>(a.slack.size()); ++first)
                if (a.free(first, count)) rooms.push_back({b, first, count});
        }
        if (!rooms.empty() && chance(random_, 0.6)) return one_of(rooms);
        const int before = chance(random_, 0.4) ? within(random_, 1, 3) : 0;
        const int behind = chance(random_, 0.4) ? within(random_, 1, 3) : 0;
        return {area(layout, before + count + behind, size), before, count};
    }

    // Written groups, of a size and a count where those are given.
    bool written(Layout layout, const Size* size, int count, View& found) {
        std::vector<View> all;
        for (int b = 0; b < static_cast<int>(areas_.size()); ++b) {
            const Area& a = areas_[b];
            if (a.layout != layout || (size && !(a.size == *size))) continue;
            const int groups = static_cast<int>(a.slack.size());
            for (int first = 0; first < groups; ++first)
                for (int n = 1; n <= options_.most_groups && first + n <= groups; ++n)
                    if ((count == 0 || n == count) && a.written(first, n)) all.push_back({b, first, n});
        }
        if (all.empty()) return false;
        found = one_of(all);
        return true;
    }

    // Numbers that the model is given, as they are, in blocked groups; and a picture, with few channels.
    void heads() {
        const int groups = within(random_, 1, std::min(options_.most_groups, 5));
        const View given{area(Layout::planar, groups * kGroup, base_, inputs()), 0, groups * kGroup};
        std::vector<float> identity(size_t{9} * kGroup * kGroup, 0.0f);
        for (int c = 0; c < kGroup; ++c) identity[(size_t{4} * kGroup + c) * kGroup + c] = 1;
        const int64_t weights = packed_.put(identity), addend = packed_.put(std::vector<float>(kGroup, 0.0f));
        const View target = place(Layout::blocked, groups, base_);
        for (int g = 0; g < groups; ++g) {
            Step s = empty_step(Kind::first_convolution, {given.buffer, g * kGroup, kGroup},
                                {target.buffer, target.first + g, 1});
            s.weights = weights;
            s.addend = addend;
            emit(s, 0);
        }
        const int channels = within(random_, 1, 4);
        View picture{-1, 0, channels};
        if (chance(random_, 0.4)) {
            const View pixels{area(Layout::pixels, channels, base_, inputs()), 0, channels};
            picture = place(Layout::planar, channels, base_);
            Step s = empty_step(Kind::normalize, pixels, picture);
            s.multiplier = packed_.put(normals(channels, 2));
            s.addend = packed_.put(normals(channels, 1));
            emit(s, 0);
        } else {
            picture.buffer = area(Layout::planar, channels, base_, inputs());
        }
        if (chance(random_, 0.6)) first_convolution(picture);
    }

    void first_convolution(const View& picture) {
        const int groups = affordable(picture, within(random_, 1, options_.most_groups));
        Step s = empty_step(Kind::first_convolution, picture, place(Layout::blocked, groups, size_of(picture)));
        s.weights = packed_.put(
            normals(size_t{9} * picture.count * groups * kGroup, high_ * 0.5 / std::sqrt(9.0 * picture.count)));
        s.addend = packed_.put(normals(size_t{kGroup} * groups, 0.1 * high_));
        emit(s, 2 * slack_of(picture) + 1);
        ++others_;
    }

    int affordable(const View& source, int groups) const {
        const int64_t each = size_of(source).pixels() * std::max(1, source.count);
        return static_cast<int>(std::clamp<int64_t>(options_.most_work / std::max<int64_t>(1, each), 1, groups));
    }

    double slack_behind_convolution(double slack) const {
        if (precision_ == Precision::int16) return slack == 0 ? 1 : 4 * slack + 4;
        return 2 * slack + 1;
    }
    double slack_behind_rounding(double slack) const { return precision_ == Precision::int16 ? slack + 1 : slack; }

    void step() {
        ++others_;
        switch (within(random_, 0, 13)) {
            case 0:
            case 1:
            case 2:
            case 3:
            case 4: return convolution(false);
            case 5: return side_convolution();
            case 6: return pointwise_convolution();
            case 7: return pool();
            case 8: return resize(Layout::blocked, Kind::resize);
            case 9: return resize(Layout::planar, Kind::resize_planar);
            case 10: return add();
            case 11: return same_size(Layout::blocked, Kind::copy);
            case 12: return same_size(Layout::planar, Kind::copy_planar);
            default: return same_size(Layout::planar, Kind::sigmoid);
        }
    }

    void convolution(bool saturating) {
        View source;
        if (!written(Layout::blocked, nullptr, 0, source)) return;
        --others_;
        ++convolutions_;
        const Size size = size_of(source);
        const int groups = affordable(source, within(random_, 1, options_.most_groups));
        // Direct ones of dilation 1, too: nothing forbids them.
        const bool winograd = chance(random_, 0.6);
        View residual;
        const bool added = chance(random_, 0.35) && written(Layout::blocked, &size, groups, residual);
        // Sometimes where the residual is.
        const bool in_place = added && chance(random_, 0.5) && !overlap(source, residual);
        Step s = empty_step(Kind::convolution, source, in_place ? residual : place(Layout::blocked, groups, size));
        // A dilated Winograd convolution adds and pools nothing.
        s.dilation = !winograd || (!added && chance(random_, 0.4)) ? within(random_, 1, 8) : 1;
        const bool large = s.dilation == 1 && precision_ == Precision::float32 && chance(random_, 0.5);
        s.algorithm = !winograd ? Algorithm::direct : large ? Algorithm::large_tiles : Algorithm::small_tiles;
        if (added) s.residual = residual;
        double slack = slack_behind_convolution(slack_of(source));
        // What its larger numbers between lose.
        if (s.algorithm == Algorithm::large_tiles) slack += 3;
        if (added) slack += slack_of(residual);
        // Two places at once: the first must not be taken for free.
        Area& written_to = areas_[s.target.buffer];
        std::fill_n(written_to.slack.begin() + s.target.first, groups, 0.0);
        // A sum over its residual is to be shown again.
        std::fill_n(written_to.shown.begin() + s.target.first, groups, false);
        if (winograd && s.dilation == 1 && chance(random_, 0.4))
            s.pooled = place(Layout::blocked, groups, half(size), s.target.buffer);
        weights_of_convolution(s, saturating);
        emit(s, slack);
    }

    void weights_of_convolution(Step& s, bool saturating) {
        const int inputs = s.source.count * kGroup, outputs = s.target.count * kGroup;
        Taps taps{outputs, inputs, std::vector<double>(size_t{9} * inputs * outputs)};
        for (double& w : taps.values) w = normal(0.9 / std::sqrt(9.0 * inputs));
        // All of one sign, and large: what surely leaves 32 bits.
        if (saturating)
            for (double& w : taps.values) w = std::fabs(w);
        std::vector<float> multiplier, residual_multiplier;
        const bool int16 = precision_ == Precision::int16;
        const Factors factors = s.winograd() ? winograd_factors(taps, s.tiling(), scale_of(precision_)) : direct_factors(taps);
        if (int16) {
            const Int16Weights w = int16_weights(factors, s.winograd() ? 32768 : 4095, saturating);
            // Larger ones are true as well: sums are added up more often.
            s.eight_pairs = chance(random_, 0.5) ? w.eight_pairs : within(random_, w.eight_pairs, 8 * 2 * 32767);
            s.weights = packed_.put(w.packed, 4096);
            for (int o = 0; o < outputs; ++o) {
                // Where sums saturate: so small that they do not all end at the highest level.
                double gain = 1;
                for (int i = 0; saturating && i < inputs * 9; ++i) gain += taps.values[size_t(o) * inputs * 9 + i];
                multiplier.push_back(static_cast<float>(1 / w.scale[o] / gain));
                residual_multiplier.push_back(static_cast<float>(0.3 + 0.5 * (o % 3)));
            }
            s.multiplier = packed_.put(multiplier);
            if (s.residual) s.residual_multiplier = packed_.put(residual_multiplier);
        } else if (precision_ == Precision::bfloat16) {
            s.weights = packed_.put(in_blocks<uint16_t>(factors, 2, [](double v, int) { return bfloat16(v); }), 4096);
        } else {
            const auto convert = [](double v, int) { return static_cast<float>(v); };
            s.weights = packed_.put(in_blocks<float>(factors, 1, convert), 4096);
        }
        s.addend = packed_.put(normals(outputs, 0.1 * high_));
    }

    void side_convolution() {
        View source;
        if (!written(Layout::blocked, nullptr, 0, source)) return;
        const int channels = within(random_, 1, 3);
        Step s = empty_step(Kind::side_convolution, source, place(Layout::planar, channels, size_of(source)));
        const std::vector<float> weights = normals(size_t{9} * channels * source.count * kGroup,
                                                   1 / high_ / std::sqrt(9.0 * kGroup * source.count));
        s.weights = packed_.put(weights);
        s.addend = packed_.put(normals(channels, 0.1));
        double slack = 2 * slack_of(source) + 1;
        if (precision_ == Precision::int16) {
            slack = 0;
            for (const float w : weights) slack += std::fabs(w);
            slack *= slack_of(source);
        }
        emit(s, slack);
    }

    void pointwise_convolution() {
        View source;
        if (!written(Layout::planar, nullptr, 0, source) || source.count > 16) return;
        const int channels = within(random_, 1, 3);
        // Never into the buffer that it reads.
        const View target = place(Layout::planar, channels, size_of(source), source.buffer);
        Step s = empty_step(Kind::pointwise_convolution, source, target);
        const double deviation = 1 / std::sqrt(source.count) / largest_of(source);
        s.weights = packed_.put(normals(size_t(channels) * source.count, deviation));
        s.addend = packed_.put(normals(channels, 0.1));
        emit(s, 4 * slack_of(source));
    }
    // What the model is given may be levels.
    double largest_of(const View& source) const { return areas_[source.buffer].input >= 0 ? high_ : 1; }

    void pool() {
        View source;
        if (!written(Layout::blocked, nullptr, 0, source)) return;
        emit(empty_step(Kind::pool, source, place(Layout::blocked, source.count, half(size_of(source)), source.buffer)),
             slack_of(source));
    }

    void resize(Layout layout, Kind kind) {
        View source;
        if (!written(layout, nullptr, 0, source)) return;
        const Size from = size_of(source);
        Size to{within(random_, 1, options_.most_side), within(random_, 1, options_.most_side)};
        if (chance(random_, 0.4)) to = half(from);
        else if (chance(random_, 0.4) && from.pixels() * 4 < 8000)
            to = {from.height * 2 - within(random_, 0, 1), from.width * 2 - within(random_, 0, 1)};
        const double slack = slack_of(source);
        emit(empty_step(kind, source, place(layout, source.count, to, source.buffer)),
             layout == Layout::blocked && slack > 0 ? slack_behind_rounding(slack) : slack);
    }

    void add() {
        View one, two;
        if (!written(Layout::blocked, nullptr, 0, one)) return;
        const Size size = size_of(one);
        if (!written(Layout::blocked, &size, one.count, two)) return;
        Step s = empty_step(Kind::add, one, place(Layout::blocked, one.count, size));
        s.residual = two;
        if (precision_ == Precision::int16) {
            std::vector<float> first, second;
            for (int c = 0; c < one.count * kGroup; ++c) {
                first.push_back(std::uniform_real_distribution<float>(0, 1)(random_));
                second.push_back(std::uniform_real_distribution<float>(0, 1)(random_));
            }
            s.multiplier = packed_.put(first);
            s.residual_multiplier = packed_.put(second);
        }
        emit(s, slack_behind_rounding(slack_of(one) + slack_of(two)));
    }

    void same_size(Layout layout, Kind kind) {
        View source;
        if (!written(layout, nullptr, 0, source)) return;
        emit(empty_step(kind, source, place(layout, source.count, size_of(source))), slack_of(source));
    }

    // A share of the groups and channels that were written and not shown yet, as they are: outputs of the model.
    void show(double share) {
        const int count = static_cast<int>(areas_.size());
        for (int b = 0; b < count; ++b) {
            const int all = static_cast<int>(areas_[b].slack.size());
            const bool planar = areas_[b].layout == Layout::planar;
            const bool none = std::none_of(areas_[b].shown.begin(), areas_[b].shown.end(), [](bool s) { return s; });
            if (planar && share == 1 && none && areas_[b].written(0, all) && chance(random_, 0.5)) {
                output(b, slack_of({b, 0, all}), false);
                continue;
            }
            for (int first = 0, behind; first < all; first = behind) {
                behind = first + 1;
                const Area& a = areas_[b];
                if (!a.written(first, 1) || a.shown[first] || !chance(random_, share)) continue;
                while (behind < all && a.slack[behind] == a.slack[first] && !a.shown[behind]) ++behind;
                const View view{b, first, behind - first};
                const double slack = a.slack[first];
                mark_shown(view);
                if (planar) show_channels(view, slack);
                else show_groups(view, slack);
            }
        }
    }

    void mark_shown(const View& v) {
        std::fill_n(areas_[v.buffer].shown.begin() + v.first, v.count, true);
    }

    void show_channels(const View& view, double slack) {
        const int to = area(Layout::planar, view.count, size_of(view));
        emit(empty_step(Kind::copy_planar, view, {to, 0, view.count}), slack);
        mark_shown({to, 0, view.count});
        output(to, slack, false);
    }

    void show_groups(View view, double slack) {
        if (chance(random_, 0.5)) {
            // By a copy: else each buffer were one whose border is read.
            const View copy = place(Layout::blocked, view.count, size_of(view));
            emit(empty_step(Kind::copy, view, copy), slack);
            mark_shown(copy);
            view = copy;
        }
        if (identity_ < 0) {
            std::vector<float> identity(size_t{9} * kGroup * kGroup, 0.0f);
            for (int c = 0; c < kGroup; ++c) identity[(size_t(c) * 9 + 4) * kGroup + c] = 1;
            identity_ = packed_.put(identity);
            zeros_ = packed_.put(std::vector<float>(kGroup, 0.0f));
        }
        const View to{area(Layout::planar, view.count * kGroup, size_of(view)), 0, view.count * kGroup};
        for (int g = 0; g < view.count; ++g) {
            Step s = empty_step(Kind::side_convolution, {view.buffer, view.first + g, 1},
                                {to.buffer, g * kGroup, kGroup});
            s.weights = identity_;
            s.addend = zeros_;
            emit(s, slack);
        }
        mark_shown(to);
        output(to.buffer, slack, true);
    }

    void output(int buffer, double slack, bool levels) {
        areas_[buffer].output = static_cast<int>(slack_.size());
        slack_.push_back(slack);
        levels_.push_back(levels);
    }

    Network encoded() const {
        Network n{{precision_, {}, {}, packed_.bytes}, slack_, levels_, convolutions_, others_};
        for (const Area& a : areas_)
            for (const int64_t value : {static_cast<int>(a.layout), static_cast<int>(a.slack.size()), a.size.height,
                                        a.size.width, a.input, a.output})
                n.encoded.buffers.push_back(value);
        for (const Step& s : steps_) {
            std::vector<int64_t> row{static_cast<int>(s.kind)};
            for (const View* v : {&s.source, &s.target, &s.residual, &s.pooled})
                row.insert(row.end(), {v->buffer, v->first, v->count});
            row.insert(row.end(), {static_cast<int64_t>(s.algorithm), s.dilation, s.eight_pairs, s.weights, s.multiplier,
                                   s.addend, s.residual_multiplier});
            row.resize(kStepColumns, 0);
            n.encoded.steps.insert(n.encoded.steps.end(), row.begin(), row.end());
        }
        return n;
    }

    const Precision precision_;
    const Options options_;
    Random& random_;
    const double high_;  // of what the model is given, and about of all that follows
    Size base_{};
    std::vector<Area> areas_;
    std::vector<Step> steps_;
    Packed packed_;
    std::vector<double> slack_;
    std::vector<bool> levels_;
    int64_t identity_ = -1, zeros_ = -1;  // of what shows groups
    int convolutions_ = 0, others_ = 0;
};

// Noise, as it comes; all of it the largest; checkerboards; single pixels: what drives the transforms to their limits.
void fill(float* values, const Buffer& b, bool levels, Random& random) {
    const int pattern = within(random, 0, 5);
    std::uniform_real_distribution<float> uniform(0, 1);
    for (int c = 0; c < b.count; ++c)
        for (int y = 0; y < b.height; ++y)
            for (int x = 0; x < b.width; ++x) {
                float v = uniform(random);
                if (pattern == 0) v = 1;
                if (pattern == 1) v = static_cast<float>((x + y) % 2);
                if (pattern == 2) v = v < 0.02f ? 1.0f : 0.0f;
                if (pattern == 3) v = v < 0.5f ? 1.0f : 0.0f;
                *values++ = levels ? std::nearbyint(v * 4095) : v;
            }
}

}  // namespace

Network random_network(Precision precision, const Options& options, Random& random) {
    for (;;) {
        Network n = Builder(precision, options, random).build();
        // As many as a program may have.
        if (n.slack.size() <= 64) return n;
    }
}

ExactBytes exact_copy(const std::vector<uint8_t>& bytes) {
    ExactBytes copy(bytes.size());
    std::copy(bytes.begin(), bytes.end(), copy.data());
    return copy;
}

size_t numbers_of_image(const Buffer& b) { return size_t(b.count) * b.height * b.width; }

std::vector<ExactBytes> random_inputs(const Program& program, int images, Random& random) {
    std::vector<ExactBytes> all;
    for (int i = 0; i < program.inputs; ++i)
        for (const Buffer& b : program.buffers) {
            if (b.input != i) continue;
            const size_t numbers = numbers_of_image(b);
            all.emplace_back(numbers * images * (b.layout == Layout::pixels ? 1 : 4));
            for (int image = 0; image < images; ++image) {
                if (b.layout == Layout::pixels) {
                    const int most = chance(random, 0.1) ? 0 : within(random, 1, 255);
                    for (size_t k = 0; k < numbers; ++k)
                        all.back().data()[image * numbers + k] = static_cast<uint8_t>(within(random, 0, most));
                } else {
                    fill(reinterpret_cast<float*>(all.back().data()) + image * numbers, b,
                         program.precision == Precision::int16 && b.count >= kGroup, random);
                }
            }
        }
    return all;
}

std::vector<ExactBytes> empty_outputs(const Program& program, int images) {
    std::vector<ExactBytes> all;
    for (int i = 0; i < program.outputs; ++i)
        for (const Buffer& b : program.buffers) {
            if (b.output != i) continue;
            all.emplace_back(numbers_of_image(b) * images * 4);
            std::memset(all.back().data(), 0xff, all.back().size());
        }
    return all;
}

}  // namespace u2forge::test
