variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "region" {
  description = "AWS name of the region."
  type        = string
}

variable "cidr" {
  description = "Address range of the region, a /16 that no other region uses."
  type        = string
}

variable "nat_gateways" {
  description = "Whether private subnets reach the internet. A region that only keeps backups need not pay for that."
  type        = bool
}

variable "zones" {
  description = "Availability zones; null asks for the first three."
  type        = list(string)
  default     = null
}
