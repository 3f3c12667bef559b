"""Where the maps of all stages are, the same in both networks."""

stages = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3']
taps = dict(student=stages, teacher=[*stages])
del stages
