// Stands for the header of this name in gloo, which libtorch contains but whose headers it does not ship. It declares
// only what ProcessGroupGloo.hpp names; group.cpp checks the resulting sizes.
#pragma once
