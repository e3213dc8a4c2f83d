output "address" {
  description = "Public address of the node; stays when the machine is replaced."
  value       = aws_eip.this.public_ip
}
