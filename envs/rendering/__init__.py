"""Episodes as pictures: frames over decision maps, charts, animations, overlays of videos."""
