// The instruction sets that this build has kernels for and this processor can run.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace u2forge {

// Best first; "portable" is always the last.
std::vector<std::string> usable_levels();

// Null where the level is unknown, or cannot run here.
KernelsOf kernels_of_level(const std::string& level);

}  // namespace u2forge
