"""Where the maps of all stages are before their last activation."""

stages = [
    'backbone.layer1.relu:input',
    'backbone.layer2.relu:input',
    'backbone.layer3.relu:input',
]
taps = dict(student=stages, teacher=[*stages])
del stages
