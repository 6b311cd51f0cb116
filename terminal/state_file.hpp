// STATE/state.json: what the engine asked to keep (SavedState), replaced as a whole, 0600.
#pragma once

#include <string>

#include "libntm/base/result.hpp"
#include "terminal/engine/types.hpp"

namespace ntm::terminal {

// A missing file is an empty state; a damaged one is an error with what to do.
Result<SavedState> load_state(const std::string& folder);
Result<void> store_state(const std::string& folder, const SavedState& state);

}  // namespace ntm::terminal
