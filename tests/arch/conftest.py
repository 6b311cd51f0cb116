"""Keeps scripts/test from counting the rules twice.

Every rule is a ctest case (CMakeLists.txt, check.py). test_architecture.py runs the same list
when it is given to pytest by name; collecting the folder finds only the rules' own tests.
"""

collect_ignore = ["test_architecture.py"]
