// The part of the rules that lives in rules_zone.cpp, as rules.cpp sees it.
#pragma once

#include "libntm/store/rules.hpp"

namespace ntm::store {

ItemResult apply_zone_operation(const PutZone& op, Rows& rows, Effects& effects);
ItemResult apply_zone_operation(const DeleteZone& op, Rows& rows, Effects& effects);
ItemResult apply_zone_operation(const CreateTerminal& op, Rows& rows, Effects& effects);
ItemResult apply_zone_operation(const DeleteTerminal& op, Rows& rows, Effects& effects);
ItemResult apply_zone_operation(const ReplaceRrset& op, Rows& rows, Effects& effects);
ItemResult apply_zone_operation(const BumpSerial& op, Rows& rows, Effects& effects);

// Pending tokens die with their subject, so that a later namesake can't be enrolled with them.
void erase_tokens_of(const Name& subject, TokenPurpose purpose, Rows& rows, Effects& effects);

}  // namespace ntm::store
