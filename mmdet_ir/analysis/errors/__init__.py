"""What models miss and mistake: compared on the same images, drawn, and counted by kind."""
