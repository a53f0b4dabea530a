"""Images, folders and videos in; instances, pictures, COCO JSON and CSV out."""
