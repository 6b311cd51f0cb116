"""The lab: networks in namespaces that stand for the paper's figure 7, shared by the demo, the
netns tests and the benches. Start reading at world.py."""
