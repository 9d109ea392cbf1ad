"""Libraries that draw a scene, a file each: `draw` makes a figure, `page` what a browser opens."""
